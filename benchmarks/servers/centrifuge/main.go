// Rooms on centrifuge, the library that Centrifugo is made of, with its memory engine.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"sort"
	"syscall"
	"time"

	"github.com/centrifugal/centrifuge"
)

const period = 5 * time.Millisecond

func main() {
	node, err := centrifuge.New(centrifuge.Config{ClientQueueMaxSize: 16 << 20})
	check(err)
	kept := os.Getenv("KEPT") != ""
	history := centrifuge.PublishOptions{}
	if kept {
		history.HistorySize, history.HistoryTTL = 300, time.Minute
	}
	node.OnConnecting(func(context.Context, centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		return centrifuge.ConnectReply{
			Credentials:    &centrifuge.Credentials{UserID: "member"},
			PingPongConfig: &centrifuge.PingPongConfig{PingInterval: -1, PongTimeout: -1},
		}, nil
	})
	node.OnConnect(func(client *centrifuge.Client) {
		client.OnSubscribe(func(_ centrifuge.SubscribeEvent, reply centrifuge.SubscribeCallback) {
			reply(centrifuge.SubscribeReply{Options: centrifuge.SubscribeOptions{EnablePositioning: kept, EnableRecovery: kept}}, nil)
		})
		client.OnPublish(func(_ centrifuge.PublishEvent, reply centrifuge.PublishCallback) {
			reply(centrifuge.PublishReply{Options: history}, nil)
		})
	})
	check(node.Run())
	deflate := os.Getenv("DEFLATE") != ""
	http.Handle("/connection/websocket", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{
		CheckOrigin:                         func(*http.Request) bool { return true },
		MessageSizeLimit:                    1 << 20,
		UseWriteBufferPool:                  true,
		Compression:                         deflate,
		CompressionPreparedMessageCacheSize: 1 << 20,
	}))
	go watch()
	check(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}

// watch is stall.py's twin: how late a timer comes is how long the runtime was held up.
func watch() {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGUSR2)
	var late []float64
	due := time.Now().Add(period)
	for {
		select {
		case <-time.After(period):
			now := time.Now()
			late = append(late, now.Sub(due).Seconds()*1e3)
			due = now.Add(period)
		case <-told:
			waited := max(0, time.Since(due).Seconds()*1e3)
			late = append(late, waited)
			sort.Float64s(late)
			line, _ := json.Marshal(map[string]float64{
				"stall_p99_ms": late[len(late)*99/100], "stall_max_ms": late[len(late)-1],
			})
			fmt.Println(string(line))
			late = []float64{waited}
		}
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
