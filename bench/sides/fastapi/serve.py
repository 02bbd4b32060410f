"""The four works in FastAPI with SQLAlchemy's ORM and pydantic's models, as its documentation has one write them.

    serve.py DATABASE        a file of SQLite's, or the URL of a PostgreSQL database
"""

import os
import secrets
import socket
import sys
import threading
import time
import urllib.request

PROCESSES = 2


def start(database):
    import uvicorn
    from sqlalchemy import select
    from sqlalchemy.orm import Session

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    os.environ["DATABASE"], os.environ["SECRET"] = database, secrets.token_hex(32)
    import app

    with Session(app.engine) as session:
        author = session.scalars(select(app.User.id).limit(1)).one()
    app.engine.dispose()

    def tell():
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health").read()
                break
            except OSError:
                time.sleep(0.1)
        print(f"token {app.token(author)}\nauthor {author}\nready http://127.0.0.1:{port}", flush=True)

    threading.Thread(target=tell, daemon=True).start()
    uvicorn.run("app:app", host="127.0.0.1", port=port, workers=PROCESSES, log_level="critical", access_log=False)


if __name__ == "__main__":
    start(sys.argv[1])
