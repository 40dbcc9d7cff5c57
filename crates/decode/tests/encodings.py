"""Reads lines, each a text as JSON. Writes each text in every encoding of the standard library:
one line for each encoding, with its name and the encoded bytes in hex."""

import base64
import binascii
import gzip
import html
import json
import quopri
import sys
import urllib.parse
import zlib


def deflated(data, wbits):
    packer = zlib.compressobj(wbits=wbits)
    return packer.compress(data) + packer.flush()


def written(text):
    data = text.encode()
    yield "base64", base64.b64encode(data)
    yield "base64 without padding", base64.b64encode(data).rstrip(b"=")
    yield "base64 for URLs", base64.urlsafe_b64encode(data)
    yield "base64 in lines", base64.encodebytes(data)
    yield "base64 in lines of JSON", json.dumps(base64.encodebytes(data).decode()).encode()
    yield "base64 with escaped slashes", base64.b64encode(data).replace(b"/", b"\\/")
    yield "base64 of UTF-16", base64.b64encode(text.encode("utf-16-le"))
    yield "base64 of gzip", base64.b64encode(gzip.compress(data))
    yield "base64 behind a path", b"/a/b/" + base64.b64encode(data)
    yield "base64 twice", base64.b64encode(base64.b64encode(data))
    yield "quoted-printable", quopri.encodestring(data)
    yield "HTML", html.escape(text).encode()
    yield "HTML, numbers", "".join(f"&#{ord(char)};" for char in text).encode()
    yield "XML", text.replace("&", "&amp;").replace("<", "&lt;").encode("ascii", "xmlcharrefreplace")
    yield "URL", urllib.parse.quote(text).encode()
    yield "URL twice", urllib.parse.quote(urllib.parse.quote(text)).encode()
    yield "Python", text.encode("unicode_escape")
    yield "JSON", json.dumps(text).encode()
    yield "hex", binascii.hexlify(data)
    yield "hex with a sign", b"0x" + binascii.hexlify(data)
    yield "hex of each byte", b"".join(b"\\x%02x" % byte for byte in data)
    yield "UTF-16", text.encode("utf-16")
    yield "UTF-16, little", text.encode("utf-16-le")
    yield "UTF-16, big", text.encode("utf-16-be")
    yield "gzip", gzip.compress(data)
    for wbits in range(9, 16):
        yield f"zlib, {wbits}", deflated(data, wbits)
        yield f"gzip, {wbits}", deflated(data, wbits + 16)
        yield f"deflate, {wbits}", deflated(data, -wbits)


for line in sys.stdin:
    for name, encoded in written(json.loads(line)):
        print(name, encoded.hex(), sep="\t")
