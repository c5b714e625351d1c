"""A server of the S3 protocol on the loopback address, which may refuse or break off."""

import contextlib
import hashlib
import os
import socket
import threading
import unittest.mock

import boto3
from fsspec import get_filesystem_class
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

BUCKET = "clicks"
DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


class Store:
    """The server, as a WSGI application around moto's.

    Attributes:
      refuses: Called with method, path and query of each request and whether it copies an
        object; a true value refuses it.
      breaks: Likewise; a true value closes the connection without an answer.
    """

    def __init__(self):
        self._app = DomainDispatcherApplication(create_backend_app)
        self.reset()

    def reset(self):
        self.refuses = self.breaks = lambda method, path, query, copies: False

    def __call__(self, environ, start_response):
        copies = "HTTP_X_AMZ_COPY_SOURCE" in environ
        request = environ["REQUEST_METHOD"], environ["PATH_INFO"], environ["QUERY_STRING"], copies
        if self.breaks(*request):
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        elif self.refuses(*request):
            start_response("403 Forbidden", [("Content-Type", "application/xml")])
            return [b"" if request[0] == "HEAD" else DENIED]
        return self._app(environ, start_response)

    def put(self, name, content):
        boto3.client("s3").put_object(Bucket=BUCKET, Key=name, Body=content)

    def put_directory(self, name, directory):
        for path in directory.rglob("*"):
            if path.is_file():
                self.put(f"{name}/{path.relative_to(directory)}", path.read_bytes())

    def objects(self, below=""):
        """Return the content of the objects by name relative to a directory."""
        client, start = boto3.client("s3"), f"{below}/" if below else ""
        found = client.list_objects_v2(Bucket=BUCKET, Prefix=start).get("Contents", [])
        return {
            each["Key"].removeprefix(start): client.get_object(Bucket=BUCKET, Key=each["Key"])[
                "Body"
            ].read()
            for each in found
        }

    def digests(self, below=""):
        """Return the SHA-256 of the objects, as `commands.digests` does of files."""
        found = self.objects(below).items()
        return {name: hashlib.sha256(content).hexdigest() for name, content in found}


class Handler(WSGIRequestHandler):
    def log(self, *arguments):
        pass


@contextlib.contextmanager
def running():
    """Run the server, with an environment that leads the clients of S3 to it."""
    store = Store()
    server = make_server("127.0.0.1", 0, store, threaded=True, request_handler=Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    variables = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
    }
    with unittest.mock.patch.dict(os.environ, variables):
        yield store
    server.shutdown()


@contextlib.contextmanager
def bucket(store, cache):
    """Make an empty bucket for a test.

    Args:
        store: The server.
        cache: The directory of hln_tf's copies, of this test alone: what the store lists has times
            in whole seconds, so two tests that put the same files may list the same.
    """
    store.reset()
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    with unittest.mock.patch.dict(os.environ, HLN_TF_CACHE=str(cache)):
        yield store
    store.reset()
    made = boto3.resource("s3").Bucket(BUCKET)
    made.objects.all().delete()
    made.delete()
    get_filesystem_class("s3").clear_instance_cache()  # with the credentials of a test
