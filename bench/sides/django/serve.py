"""The four works in Django REST framework, as its documentation has one write them.

    serve.py DATABASE        a file of SQLite's, or the URL of a PostgreSQL database
"""

import os
import secrets
import socket
import sys
import threading
import time
import urllib.request

PROCESSES, THREADS = 2, 4


def start(database):
    os.environ["DATABASE"], os.environ["SECRET"] = database, secrets.token_hex(32)
    import app
    from gunicorn.app.base import BaseApplication

    author = app.User.objects.values_list("id", flat=True).first()
    app.connections.close_all()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    class Served(BaseApplication):
        def load_config(self):
            settings = {
                "bind": f"127.0.0.1:{port}", "workers": PROCESSES, "threads": THREADS, "worker_class": "gthread",
                "keepalive": 75, "worker_connections": 2000, "loglevel": "critical",
            }
            for name, value in settings.items():
                self.cfg.set(name, value)

        def load(self):
            return app.application

    def tell():
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health").read()
                break
            except OSError:
                time.sleep(0.1)
        print(f"token {app.token(author)}\nauthor {author}\nready http://127.0.0.1:{port}", flush=True)

    threading.Thread(target=tell, daemon=True).start()
    Served().run()


if __name__ == "__main__":
    start(sys.argv[1])
