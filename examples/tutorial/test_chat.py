import json

from starlette.testclient import TestClient

from chat import Line, app, say


def test_lines_are_trimmed():
    assert say(None, "chat:tea", Line("  hello ")) == Line("hello")


def answers(session):
    while True:
        yield from map(json.loads, session.receive_text().splitlines())


def test_a_line_comes_back_with_its_author():
    with TestClient(app) as browser, browser.websocket_connect("/connection/websocket") as session:
        token = browser.get("/token?name=ann").text
        session.send_json({"id": 1, "connect": {"token": token}})
        session.send_json({"id": 2, "subscribe": {"channel": "chat:tea"}})
        session.send_json({"id": 3, "publish": {"channel": "chat:tea", "data": {"text": " hello "}}})
        pushes = (answer["push"] for answer in answers(session) if "push" in answer)
        publication = next(push["pub"] for push in pushes if "pub" in push)
        assert publication["info"]["user"] == "ann"
        assert publication["data"] == {"text": "hello"}


def test_nobody_comes_without_a_token():
    with TestClient(app) as browser, browser.websocket_connect("/connection/websocket") as session:
        session.send_json({"id": 1, "connect": {}})
        assert session.receive()["code"] == 3501
