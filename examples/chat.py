"""A chat server in fifteen lines. Run it: python examples/chat.py"""

import json

import hubbub

hub = hubbub.Hub()


class Chat(hubbub.Handler):
    def message(self, data):
        match json.loads(data):
            case {"join": str(channel)}:
                hub.join(channel, self.socket)
            case {"leave": str(channel)}:
                hub.leave(channel, self.socket)
            case {"say": str(text), "to": str(channel)} if hub.is_member(channel, self.socket):
                hub.broadcast(channel, text)
            case _:
                self.close(3000, "invalid payload")


if __name__ == "__main__":
    hubbub.run(Chat, hub=hub, port=4545)
