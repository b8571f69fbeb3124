"""An HTTP and a WebSocket worker in one FastAPI application."""

from fastapi import FastAPI, Request, WebSocket

app = FastAPI()


@app.get("/ping")
def ping():
    return {"message": "pong"}


@app.get("/")
def hello(request: Request):
    return {"hello": request.headers.get("x-auth-email", "nobody")}


@app.websocket("/ws")
async def talk(socket: WebSocket):
    await socket.accept()
    who = socket.headers.get("x-auth-email", "nobody")
    async for text in socket.iter_text():
        await socket.send_json({"hello": who, "message": text})
