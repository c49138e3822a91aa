"""An IMAP client that people might write: imaplib over TLS, the certificate checked.

usage: imap.py watch|subjects HOST PORT CA NAME USER PASSWORD

watch     keeps one session open and asks for a message again and again; prints "ok SECONDS" or "no SECONDS", the time since the
          Unix epoch at which the answer was complete, and "lost SECONDS" when the connection is gone, which ends it. Ends when
          standard input does.
subjects  prints the subject of every message of the inbox.
"""

import imaplib
import select
import socket
import ssl
import sys
import time

what, host, port, ca, name, user, password = sys.argv[1:]


class Named(imaplib.IMAP4_SSL):
    """Checks the certificate for the server's name, wherever it is reached."""

    def _create_socket(self, timeout):
        plain = socket.create_connection((self.host, self.port), timeout)
        return self.ssl_context.wrap_socket(plain, server_hostname=name)


def watch(session):
    def tell(word):
        print(word, time.time(), flush=True)

    while not select.select([sys.stdin], [], [], 0.05)[0]:
        try:
            answer, found = session.fetch("1", "(BODY.PEEK[])")
            tell("ok" if answer == "OK" and found[0] else "no")
        except (imaplib.IMAP4.error, OSError) as error:
            print(error, file=sys.stderr)
            tell("lost")
            break


def subjects(session):
    answer, found = session.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    if answer != "OK":
        sys.exit(f"FETCH: {answer}")
    for part in found:
        if isinstance(part, tuple):
            print(part[1].decode().strip().removeprefix("Subject: "))


opened = Named(host, int(port), ssl_context=ssl.create_default_context(cafile=ca), timeout=60)
opened.login(user, password)
opened.select("INBOX")
{"watch": watch, "subjects": subjects}[what](opened)
