"""Broken configurations and exactly what is said about them."""

# ruff: noqa: E501 - a table

from __future__ import annotations

from pathlib import Path

import pytest

from streamwatch.config import load
from streamwatch.errors import ConfigError

RIGHT = "detector: {model: toybox}\ncameras: {a: {url: bundled:street}}\n"


def also(section: str) -> str:
    return f"{RIGHT}{section}\n"


def mqtt(keys: str) -> str:
    return also(f"mqtt: {{{keys}}}")


def model(name: str) -> str:
    return f"detector: {{model: {name}}}\ncameras: {{a: {{url: bundled:street}}}}\n"


def detector(keys: str) -> str:
    return model(f"toybox, {keys}")


def camera(keys: str) -> str:
    return f"detector: {{model: toybox}}\ncameras:\n  a: {{{keys}}}\n"


def camera_with(keys: str) -> str:
    return camera(f"url: bundled:street, {keys}")


def watch(keys: str) -> str:
    return also(f"watches:\n  w: {{{keys}}}")


def watch_with(keys: str) -> str:
    return watch(f"prompt: dog, {keys}")


def look(keys: str) -> str:
    return watch_with(f"second_look: {{{keys}}}")


YAML = [
    pytest.param(
        "", ["the file is empty; `streamwatch init` writes one to start from"], id="empty"
    ),
    pytest.param(
        "# nothing\n",
        ["the file is empty; `streamwatch init` writes one to start from"],
        id="only comments",
    ),
    pytest.param(
        "null\n",
        [
            "1:1: detector: is missing; write detector: {model: toybox}",
            "1:1: cameras: is missing; write one below it, as `porch: {url: …}`, or `{}` to add them later",
        ],
        id="null document",
    ),
    pytest.param(
        "- a\n",
        [
            "1:1: a list can't stand here; write `key: value` below it; allowed are mqtt, detector, cameras, watches, snapshots, clips, near_misses, notify, http, timezone, log"
        ],
        id="top list",
    ),
    pytest.param(
        "hello\n",
        [
            "1:1: 'hello' can't stand here; write `key: value` below it; allowed are mqtt, detector, cameras, watches, snapshots, clips, near_misses, notify, http, timezone, log"
        ],
        id="top text",
    ),
    pytest.param(
        RIGHT + "---\n" + RIGHT,
        ["3:1: only one document fits in the file; take out the '---'"],
        id="two documents",
    ),
    pytest.param(
        "detector:\n\tmodel: toybox\n",
        ["2:1: a tab where spaces are wanted; YAML is indented with spaces only"],
        id="tab",
    ),
    pytest.param(
        "detector: model: toybox\n",
        [
            "1:16: a ':' where none may stand; is the indentation right, or does the text need quotes?"
        ],
        id="colon",
    ),
    pytest.param(
        "detector:\n    model: toybox\n  device: cpu\n",
        [
            "3:3: this does not fit to the lines above; is the indentation the same, or a quote too many?"
        ],
        id="indent",
    ),
    pytest.param(
        "cameras: [1, 2\nmqtt: x\n",
        [
            "2:5: a list in [ ] is not closed (opened in line 1), or lacks a comma; texts with ${…} in it need quotes"
        ],
        id="open list",
    ),
    pytest.param(
        'detector:\n  model: "toybox\n',
        ["2:10: the quotes of a text are never closed"],
        id="open quote",
    ),
    pytest.param(
        "mqtt:\n  password: @secret\n",
        ["2:13: a text may not start with @, `, % or the like; put it in quotes"],
        id="at sign",
    ),
    pytest.param(
        "mqtt:\n  password: *secret\n",
        ["2:13: an alias (*) without its anchor (&); a text that starts with * needs quotes"],
        id="star",
    ),
    pytest.param(
        "mqtt:\n  password: !secret pw\n",
        [
            "1:1: detector: is missing; write detector: {model: toybox}",
            "1:1: cameras: is missing; write one below it, as `porch: {url: …}`, or `{}` to add them later",
            "2:13: mqtt.password: tags are not supported; a text that starts with ! needs quotes",
        ],
        id="bang",
    ),
    pytest.param(
        "mqtt: {port: ${MQTT_PORT}}\n",
        [
            "1:15: a mapping in { } is not closed (opened in line 1), or lacks a comma; texts with ${…} in it need quotes"
        ],
        id="flow reference",
    ),
    pytest.param(
        "detector:\n  model: toy\x07box\n",
        ["2:13: the character U+0007 may not stand in a file"],
        id="control",
    ),
    pytest.param(
        'detector:\n  model: "\\d"\n',
        [
            "2:12: an unknown escape in double quotes; write \\\\ for a backslash, or take single quotes"
        ],
        id="escape",
    ),
    pytest.param(
        'detector: "\\UFFFFFFFF"\n',
        ["an escape or directive holds a number that is too large"],
        id="big escape",
    ),
    pytest.param(
        "detector:\n  model: toybox\nmqtt\n  host: x\n",
        ["3:1: a ':' is missing after this key"],
        id="no colon",
    ),
    pytest.param(
        "a: " + "[" * 60 + "]" * 60 + "\n",
        ["1:42: nested too deeply; at most 40 levels"],
        id="deep",
    ),
    pytest.param(also("? [a]\n: 1"), ["3:3: a key must be a plain text"], id="list key"),
    pytest.param(
        "base: &b {fps: 2}\ndetector: {model: toybox}\ncameras:\n  a:\n    <<: *b\n    url: bundled:street\n",
        [
            "1:1: base: unknown key; allowed are mqtt, detector, cameras, watches, snapshots, clips, near_misses, notify, http, timezone, log; one of your own starts with x-",
        ],
        id="own key",
    ),
    pytest.param(
        "x-b: &b {fps: 0, ulr: 2}\ndetector: {model: toybox}\ncameras:\n  a:\n    <<: *b\n    url: bundled:street\n",
        [
            "1:15: cameras.a.fps: 0 is not a number above 0 and at most 120",
            "1:18: cameras.a.ulr: unknown key; did you mean 'url'?",
        ],
        id="merged",
    ),
    pytest.param(
        "detector: &a {model: *a}\n", ["1:11: an alias that contains itself"], id="recursive"
    ),
    pytest.param(
        model("!!python/name:os.system x"),
        [
            "1:19: detector.model: the tag '!!python/name:os.system' is not supported; for a value kept elsewhere write ${NAME}, ${file:PATH} or ${credential:NAME}"
        ],
        id="python tag",
    ),
    pytest.param(
        also("watches: !include watches.yaml"),
        [
            "3:10: watches: the tag '!include' is not supported; for a value kept elsewhere write ${NAME}, ${file:PATH} or ${credential:NAME}"
        ],
        id="include",
    ),
    pytest.param(
        model("toybox, image_size: !!int abc"),
        ["1:39: detector.image_size: the tag does not suit the value; leave the tag out"],
        id="int tag",
    ),
    pytest.param(
        RIGHT + "watches:\n  w: {prompt: dog}\n  w: {prompt: cat}\n",
        ["5:3: watches.w: given twice; the first stands in line 4"],
        id="duplicate",
    ),
    pytest.param(
        RIGHT + "detector: {model: toybox}\n",
        ["3:1: detector: given twice; the first stands in line 1"],
        id="duplicate section",
    ),
    pytest.param(
        detector("image_size: " + "9" * 400),
        ["1:39: detector.image_size: a number this long is not understood"],
        id="long number",
    ),
    pytest.param(
        model('"\\uD800"'),
        ["1:19: half of a surrogate pair is no character"],
        id="surrogate",
    ),
]
STRUCTURE = [
    pytest.param(
        "cameras: {a: {url: bundled:street}}\n",
        ["1:1: detector: is missing; write detector: {model: toybox}"],
        id="no detector",
    ),
    pytest.param(
        "detector:\n  device: cpu\ncameras: {a: {url: bundled:street}}\n",
        ["1:1: detector.model: is missing; write model: toybox"],
        id="no model",
    ),
    pytest.param(
        "detector: {model: toybox}\n",
        [
            "1:1: cameras: is missing; write one below it, as `porch: {url: …}`, or `{}` to add them later"
        ],
        id="no cameras",
    ),
    pytest.param(
        "detector: {model: toybox}\ncameras:\nwatches: {cat: {prompt: cat, zones: [lawn]}}\n",
        ["3:38: watches.cat.zones[0]: 'lawn' is no zone: there is no camera"],
        id="zone without cameras",
    ),
    pytest.param(
        "detector: {model: toybox}\ncameras:\n  - url: bundled:street\n",
        ["3:3: cameras: a list can't stand here; write a name for each below it, as `porch:`"],
        id="camera list",
    ),
    pytest.param(
        "detector: {model: toybox}\ncameras: bundled:street\n",
        [
            "2:10: cameras: 'bundled:street' can't stand here; write a name for each below it, as `porch:`"
        ],
        id="camera text",
    ),
    pytest.param(
        "detector: {model: toybox}\ncameras:\n  a: bundled:street\n",
        [
            "3:6: cameras.a: 'bundled:street' can't stand here; write `key: value` below it; allowed are url, name, enabled, username, password, transport, fps, loop, pace, motion, rotate, crop, mask, ignore, zones"
        ],
        id="camera url",
    ),
    pytest.param(
        "detector: {model: toybox}\ncameras:\n  a:\n",
        ["3:3: cameras.a.url: is missing; write where the camera is, as url: rtsp://…"],
        id="empty camera",
    ),
    pytest.param(
        also("camera: {}"),
        ["3:1: camera: unknown key; did you mean 'cameras'?"],
        id="unknown section",
    ),
    pytest.param(
        mqtt("pasword: hunter2"),
        ["3:8: mqtt.pasword: unknown key; did you mean 'password'?"],
        id="unknown key",
    ),
    pytest.param(
        camera_with("zzz: 1"),
        [
            "3:28: cameras.a.zzz: unknown key; allowed are url, name, enabled, username, password, transport, fps, loop, pace, motion, rotate, crop, mask, ignore, zones"
        ],
        id="unknown far",
    ),
    pytest.param(
        watch_with("not_: cat"),
        ["4:20: watches.w.not_: unknown key; did you mean 'not'?"],
        id="python name",
    ),
    pytest.param(
        "detector: {model: toybox}\ncameras:\n  Front Door: {url: bundled:street}\n",
        [
            "3:3: cameras.Front Door: 'Front Door' is not a name; use 1 to 63 of a-z, 0-9, _ and -; did you mean 'front-door'?"
        ],
        id="camera name",
    ),
    pytest.param(
        camera_with("zones: {Stairs!: [[0,0],[1,0],[1,1]]}"),
        [
            "3:36: cameras.a.zones.Stairs!: 'Stairs!' is not a name; use 1 to 63 of a-z, 0-9, _ and -"
        ],
        id="zone name",
    ),
    pytest.param(
        RIGHT + "watches:\n  " + "x" * 64 + ": {prompt: dog}\n",
        [
            "4:3: watches.xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…: 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…' is not a name; use 1 to 63 of a-z, 0-9, _ and -"
        ],
        id="watch name long",
    ),
    pytest.param(
        detector("'[key]': 1") + "watches: {'[key]': {prompt: dog}}\n",
        [
            "1:27: detector.[key]: unknown key; allowed are model, text_encoder, offline, device, backend, precision, image_size, confidence, template, distractors",
            "3:11: watches.[key]: '[key]' is not a name; use 1 to 63 of a-z, 0-9, _ and -",
        ],
        id="a key named as pydantic marks keys",
    ),
    pytest.param(
        watch("fps: 2"),
        [
            "4:3: watches.w.prompt: is missing; write what to find, as prompt: person",
            "4:7: watches.w.fps: unknown key; allowed are prompt, pictures, name, enabled, not, with, without, near, cameras, zones, confidence, picture_confidence, min_area, max_area, appear, dwell, leave, cooldown, active, second_look, snapshot, clip",
        ],
        id="no prompt",
    ),
]
MQTT = [
    pytest.param(
        mqtt('host: "mqtt://broker"'),
        [
            "3:14: mqtt.host: 'mqtt://broker' is a URL; write the name or address alone, and the port in mqtt.port"
        ],
        id="host url",
    ),
    pytest.param(
        mqtt('host: "broker:1883"'),
        [
            "3:14: mqtt.host: 'broker:1883' holds a port; write the name or address alone, and the port in mqtt.port"
        ],
        id="host port",
    ),
    pytest.param(
        mqtt('host: "[::1]:1883"'),
        [
            "3:14: mqtt.host: '[::1]:1883' holds a port; write the name or address alone, and the port in mqtt.port"
        ],
        id="host ipv6 port",
    ),
    pytest.param(
        mqtt("host: my broker"),
        [
            "3:14: mqtt.host: 'my broker' is not a host; write a name such as broker.local, or an address"
        ],
        id="host odd",
    ),
    pytest.param(
        mqtt("host: 12"),
        ["3:14: mqtt.host: 12 is not a text as it stands; put it in quotes"],
        id="host number",
    ),
    pytest.param(
        mqtt("host: "),
        ["3:13: mqtt.host: an empty value can't stand here; write a text"],
        id="host null",
    ),
    pytest.param(
        mqtt("port: 70000"),
        ["3:14: mqtt.port: 70000 is not a whole number from 0 to 65535"],
        id="port high",
    ),
    pytest.param(
        mqtt("port: mqtt"),
        ["3:14: mqtt.port: 'mqtt' is not a whole number from 0 to 65535"],
        id="port text",
    ),
    pytest.param(
        mqtt("port: 0"),
        [
            "3:14: mqtt.port: 0 means any free port, and goes only with embedded: true; write 1 to 65535"
        ],
        id="port 0",
    ),
    pytest.param(
        mqtt("port: true"),
        ["3:14: mqtt.port: true is not a whole number from 0 to 65535"],
        id="port bool",
    ),
    pytest.param(
        mqtt("port: 18.5"),
        ["3:14: mqtt.port: 18.5 is not a whole number from 0 to 65535"],
        id="port float",
    ),
    pytest.param(
        mqtt('topic_prefix: "a/#"'),
        ["3:22: mqtt.topic_prefix: 'a/#' holds # or +, which are wildcards; take them out"],
        id="prefix wildcard",
    ),
    pytest.param(
        mqtt("topic_prefix: /a"),
        ["3:22: mqtt.topic_prefix: '/a' starts or ends with a slash; take it away"],
        id="prefix slash",
    ),
    pytest.param(
        mqtt("topic_prefix: $SYS"),
        [
            "3:22: mqtt.topic_prefix: '$SYS' starts with $, which brokers keep for themselves; take another"
        ],
        id="prefix dollar",
    ),
    pytest.param(
        mqtt('topic_prefix: ""'),
        ["3:22: mqtt.topic_prefix: '' is empty; write a text"],
        id="prefix empty",
    ),
    pytest.param(
        mqtt("topic_prefix: " + "x" * 201),
        [
            "3:22: mqtt.topic_prefix: 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…' is too long; at most 200 characters"
        ],
        id="prefix long",
    ),
    pytest.param(
        mqtt('topic_prefix: "a\\0b"'),
        ["3:22: mqtt.topic_prefix: 'a\\x00b' holds a line break or another control character"],
        id="prefix nul",
    ),
    pytest.param(
        mqtt("password: 12345"),
        ["3:18: mqtt.password: the value is not a text as it stands; put it in quotes"],
        id="password number",
    ),
    pytest.param(
        mqtt("password: [a]"), ["3:18: mqtt.password: a list is not a text"], id="password list"
    ),
    pytest.param(
        mqtt("embedded: yes"),
        ["3:18: mqtt.embedded: 'yes' is neither true nor false; write true or false"],
        id="embedded yes",
    ),
    pytest.param(
        mqtt("embedded: 1"),
        ["3:18: mqtt.embedded: 1 is neither true nor false; write true or false"],
        id="embedded one",
    ),
    pytest.param(
        mqtt("tls: {ca: ca.pem, certificate: .}"),
        [
            "3:18: mqtt.tls.ca: 'ca.pem' does not exist",
            "3:39: mqtt.tls.certificate: '.' is not a file",
        ],
        id="tls files",
    ),
    pytest.param(
        mqtt("tls: {certificate: c.yaml}"),
        ["3:27: mqtt.tls.certificate: 'c.yaml' holds no certificate in PEM"],
        id="tls content",
    ),
    pytest.param(
        mqtt("tls: {key: c.yaml}"),
        ["3:19: mqtt.tls.key: 'c.yaml' goes with a certificate; write certificate: FILE too"],
        id="tls key alone",
    ),
    pytest.param(
        mqtt("embedded: true, tls: true"),
        [
            "3:29: mqtt.tls: the embedded broker is reached from this machine only, and without TLS; leave it out"
        ],
        id="tls embedded",
    ),
    pytest.param(
        mqtt("tls: "),
        ["3:12: mqtt.tls: an empty value is neither true nor false; write true or false"],
        id="tls null",
    ),
    pytest.param(
        mqtt("tls: maybe"),
        ["3:13: mqtt.tls: 'maybe' is neither true nor false; write true or false"],
        id="tls maybe",
    ),
    pytest.param(
        mqtt("tls: {cert: a}"),
        ["3:14: mqtt.tls.cert: unknown key; allowed are ca, certificate, key"],
        id="tls unknown",
    ),
    pytest.param(
        mqtt("commands: maybe"),
        ["3:18: mqtt.commands: 'maybe' is neither true nor false; write true or false"],
        id="commands",
    ),
    pytest.param(
        mqtt("homeassistant: maybe"),
        ["3:23: mqtt.homeassistant: 'maybe' is neither true nor false; write true or false"],
        id="homeassistant maybe",
    ),
    pytest.param(
        mqtt("homeassistant: {prefix: ha}"),
        ["3:24: mqtt.homeassistant.prefix: unknown key; allowed are discovery_prefix"],
        id="homeassistant unknown",
    ),
    pytest.param(
        mqtt("homeassistant: {discovery_prefix: ha/#}"),
        [
            "3:42: mqtt.homeassistant.discovery_prefix: 'ha/#' holds # or +, which are wildcards;"
            " take them out"
        ],
        id="homeassistant wildcard",
    ),
    pytest.param(
        mqtt("homeassistant: {discovery_prefix: streamwatch}"),
        [
            "3:23: mqtt.homeassistant: Home Assistant and streamwatch would both publish to"
            " streamwatch/status; write another topic_prefix"
        ],
        id="homeassistant in our own topics",
    ),
    pytest.param(
        mqtt("topic_prefix: homeassistant, homeassistant: true"),
        [
            "3:52: mqtt.homeassistant: Home Assistant and streamwatch would both publish to"
            " homeassistant/status; write another topic_prefix"
        ],
        id="our topics in homeassistant",
    ),
    pytest.param(
        mqtt("outbox: {max_size: 1000}"),
        ["3:27: mqtt.outbox.max_size: 1000 lacks a unit; write it as 500KB, 10MB or 1GB"],
        id="outbox size",
    ),
    pytest.param(
        mqtt("outbox: {max_age: 7}"),
        ["3:26: mqtt.outbox.max_age: 7 lacks a unit; write 7s, or ms, m, h or d in place of s"],
        id="outbox age number",
    ),
]
DETECTOR = [
    pytest.param(
        model("toybx"),
        ["1:19: detector.model: 'toybx' is not a model; did you mean 'toybox'?"],
        id="model unknown",
    ),
    pytest.param(
        model("resnet"),
        [
            "1:19: detector.model: 'resnet' is not a model; write toybox, yolov8s-worldv2 or another of `streamwatch models`, or a .pt file"
        ],
        id="model far",
    ),
    pytest.param(
        model("yolov8n-worldv2"),
        ["1:19: detector.model: 'yolov8n-worldv2' is not a model; did you mean 'yolov8x-worldv2'?"],
        id="model size",
    ),
    pytest.param(
        model("./mine.pt"),
        [
            "1:11: detector: a model by its path needs text_encoder: minilm, clip, mobileclip or mobileclip2, or a folder"
        ],
        id="model path",
    ),
    pytest.param(
        model("mine.pt, text_encoder:"),
        [
            "1:41: detector.text_encoder: a model by its path needs text_encoder: minilm, clip, mobileclip or mobileclip2, or a folder"
        ],
        id="model path with nothing",
    ),
    pytest.param(
        model("yolov8s-world.pt"),
        [
            "1:11: detector: a model by its path needs text_encoder: minilm, clip, mobileclip or mobileclip2, or a folder; the model of that name is written yolov8s-world"
        ],
        id="model name as a path",
    ),
    pytest.param(
        model("yoloe-11s"),
        ["1:19: detector.model: 'yoloe-11s' is not a model; did you mean 'yoloe-11s-seg'?"],
        id="model yoloe",
    ),
    pytest.param(
        model(""),
        ["1:18: detector.model: an empty value can't stand here; write a text"],
        id="model null",
    ),
    pytest.param(
        detector("text_encoder: clip"),
        [
            "1:41: detector.text_encoder: 'clip' does not go with toybox, which was trained with minilm; leave it out"
        ],
        id="text_encoder of another",
    ),
    pytest.param(
        model("yoloe-11s-seg, text_encoder: mobileclip2"),
        [
            "1:48: detector.text_encoder: 'mobileclip2' does not go with yoloe-11s-seg, which was trained with mobileclip; leave it out"
        ],
        id="text_encoder of another YOLOE",
    ),
    pytest.param(
        model("yoloe-26s-seg, text_encoder: ./clip"),
        [
            "1:48: detector.text_encoder: './clip' does not go with yoloe-26s-seg, which was trained with mobileclip2; leave it out"
        ],
        id="text_encoder in a folder with YOLOE",
    ),
    pytest.param(
        detector("text_encoder: clop"),
        ["1:41: detector.text_encoder: 'clop' is not a text encoder; did you mean 'clip'?"],
        id="text_encoder unknown",
    ),
    pytest.param(
        detector("text_encoder: bert-large"),
        [
            "1:41: detector.text_encoder: 'bert-large' is not a text encoder; write minilm, clip, mobileclip or mobileclip2, or a folder, as ./my-clip"
        ],
        id="text_encoder far",
    ),
    pytest.param(
        detector("offline: maybe"),
        ["1:36: detector.offline: 'maybe' is neither true nor false; write true or false"],
        id="offline",
    ),
    pytest.param(
        detector("device: mps"),
        ["1:35: detector.device: 'mps' is not supported yet; write auto, cpu, cuda or cuda:1"],
        id="device later",
    ),
    pytest.param(
        detector("device: cudda"),
        [
            "1:35: detector.device: 'cudda' is not a device; write auto, cpu, cuda or cuda:1; did you mean 'cuda'?"
        ],
        id="device typo",
    ),
    pytest.param(
        detector("device: gpu"),
        [
            "1:35: detector.device: 'gpu' is not a device; write auto, cpu, cuda or cuda:1; did you mean 'cpu'?"
        ],
        id="device far",
    ),
    pytest.param(
        detector("backend: onnx"),
        ["1:36: detector.backend: 'onnx' is not allowed; write auto, torch or openvino"],
        id="backend gone",
    ),
    pytest.param(
        detector("backend: tensorflow"),
        ["1:36: detector.backend: 'tensorflow' is not allowed; write auto, torch or openvino"],
        id="backend wrong",
    ),
    pytest.param(
        detector("precision: fp16"),
        ["1:38: detector.precision: 'fp16' is not allowed; write auto, full, half or int8"],
        id="precision wrong",
    ),
    pytest.param(
        detector("image_size: 16"),
        ["1:39: detector.image_size: 16 is not a whole number from 32 to 2048"],
        id="image_size small",
    ),
    pytest.param(
        detector("confidence: 0"),
        ["1:39: detector.confidence: 0 is not a number above 0 and at most 1"],
        id="confidence 0",
    ),
    pytest.param(
        detector("confidence: 30"),
        ["1:39: detector.confidence: 30 is not a number above 0 and at most 1"],
        id="confidence percent",
    ),
    pytest.param(
        detector("confidence: .nan"),
        ["1:39: detector.confidence: .nan is not a number above 0 and at most 1"],
        id="confidence nan",
    ),
    pytest.param(
        detector("confidence: high"),
        ["1:39: detector.confidence: 'high' is not a number above 0 and at most 1"],
        id="confidence text",
    ),
    pytest.param(
        detector("template: x"),
        ["1:37: detector.template: 'x' needs {} once, where the prompt goes"],
        id="template without",
    ),
    pytest.param(
        detector("distractors: off"),
        ["1:40: detector.distractors: 'off' is neither true nor false; write true or false"],
        id="distractors off",
    ),
]
CAMERAS = [
    pytest.param(
        camera('url: "ftp://host/x"'),
        [
            "3:12: cameras.a.url: 'ftp://host/x' has a scheme that is not known; write rtsp://…, rtsps://…, http://…, https://…, bundled:street, a file, /dev/video0 or a number"
        ],
        id="url scheme",
    ),
    pytest.param(
        camera('url: "rtsp://me:pw@fe80::1/x"'),
        [
            "3:12: cameras.a.url: 'rtsp://me:***@fe80::1/x' has an IPv6 address without its brackets; write rtsp://[…]:port/…"
        ],
        id="url ipv6 bare",
    ),
    pytest.param(
        camera('url: "rtsp://[::1/x"'),
        [
            "3:12: cameras.a.url: 'rtsp://[::1/x' has no host, or a wrong port; write rtsp://host:port/…, and in a password %40 for @, %3A for :, %2F for /, %23 for #, %3F for ?"
        ],
        id="url ipv6 open",
    ),
    pytest.param(
        camera('url: "rtsp://admin:pw#1@host/x"'),
        [
            "3:12: cameras.a.url: 'rtsp://admin:***@host/x' has no host, or a wrong port; write rtsp://host:port/…, and in a password %40 for @, %3A for :, %2F for /, %23 for #, %3F for ?"
        ],
        id="url password",
    ),
    pytest.param(
        camera('url: "rtsp:/admin:pw@host/x"'),
        ["3:12: cameras.a.url: 'rtsp:/admin:***@host/x' lacks a slash; write rtsp://host/…"],
        id="url slash",
    ),
    pytest.param(
        camera('url: "rtsp://"'),
        [
            "3:12: cameras.a.url: 'rtsp://' has no host, or a wrong port; write rtsp://host:port/…, and in a password %40 for @, %3A for :, %2F for /, %23 for #, %3F for ?"
        ],
        id="url host",
    ),
    pytest.param(
        camera('url: "rtsp://h:99999/x"'),
        [
            "3:12: cameras.a.url: 'rtsp://h:99999/x' has no host, or a wrong port; write rtsp://host:port/…, and in a password %40 for @, %3A for :, %2F for /, %23 for #, %3F for ?"
        ],
        id="url port",
    ),
    pytest.param(
        camera('url: "rtsp://u:a b@h/x"'),
        ["3:12: cameras.a.url: 'rtsp://u:***@h/x' holds a space; write %20 in its place"],
        id="url space",
    ),
    pytest.param(
        camera('url: "admin:pw@host/x"'),
        [
            "3:12: cameras.a.url: 'admin:***@host/x' looks like an address without its scheme; write rtsp:// or http:// before it"
        ],
        id="url bare",
    ),
    pytest.param(
        camera('url: "192.168.1.20:554/stream"'),
        [
            "3:12: cameras.a.url: '192.168.1.20:554/stream' looks like an address without its scheme; write rtsp:// or http:// before it"
        ],
        id="url without scheme",
    ),
    pytest.param(
        camera('url: "onvif://me:pw@host/x"'),
        [
            "3:12: cameras.a.url: 'onvif://me:***@host/x' is the address for asking a camera about its streams; most cameras have an RTSP address too; write that, as rtsp://host:554/…"
        ],
        id="url of another program",
    ),
    pytest.param(
        camera('url: "rtsp://me:{PW}@host/x"'),
        [
            "3:12: cameras.a.url: 'rtsp://me:***@host/x' holds a name in { }, which may not stand in a URL; write ${NAME} for an environment variable, or %7B and %7D for the braces themselves"
        ],
        id="url braces",
    ),
    pytest.param(
        camera("url: bundled:steet"),
        ["3:12: cameras.a.url: 'bundled:steet' does not exist; did you mean 'bundled:street'?"],
        id="bundled",
    ),
    pytest.param(
        camera("url: -1"),
        ["3:12: cameras.a.url: -1 is not the number of a device; write 0 for /dev/video0"],
        id="url negative",
    ),
    pytest.param(
        camera("url: [a]"),
        [
            "3:12: cameras.a.url: a list is not a camera; write rtsp://…, rtsps://…, http://…, https://…, bundled:street, a file, /dev/video0 or a number"
        ],
        id="url list",
    ),
    pytest.param(
        camera("url: true"),
        [
            "3:12: cameras.a.url: true is not a camera; write rtsp://…, rtsps://…, http://…, https://…, bundled:street, a file, /dev/video0 or a number"
        ],
        id="url bool",
    ),
    pytest.param(
        camera('url: ""'), ["3:12: cameras.a.url: '' is empty; write a text"], id="url empty"
    ),
    pytest.param(
        camera_with("fps: 0"),
        ["3:33: cameras.a.fps: 0 is not a number above 0 and at most 120"],
        id="fps 0",
    ),
    pytest.param(
        camera_with("fps: 200"),
        ["3:33: cameras.a.fps: 200 is not a number above 0 and at most 120"],
        id="fps fast",
    ),
    pytest.param(
        camera_with("fps: 5fps"),
        ["3:33: cameras.a.fps: '5fps' is not a number above 0 and at most 120"],
        id="fps text",
    ),
    pytest.param(
        camera_with("loop: on"),
        ["3:34: cameras.a.loop: 'on' is neither true nor false; write true or false"],
        id="loop",
    ),
    pytest.param(
        camera_with("username: me"),
        ["3:38: cameras.a.username: only rtsp://… and http://… have a login; leave it out"],
        id="username file",
    ),
    pytest.param(
        camera("url: 0, password: hunter2"),
        ["3:25: cameras.a.password: only rtsp://… and http://… have a login; leave it out"],
        id="camera password device",
    ),
    pytest.param(
        camera("url: 'rtsp://cam/', password: hunter2"),
        ["3:37: cameras.a.password: a password goes with a username; write that too"],
        id="camera password alone",
    ),
    pytest.param(
        camera("url: 'rtsp://me:hunter2@cam/', username: me, password: hunter2"),
        [
            "3:48: cameras.a.username: the url names a user too; keep to the one place or the other",
            "3:62: cameras.a.password: the url names a user too; keep to the one place or the other",
        ],
        id="credentials twice",
    ),
    pytest.param(
        camera_with("transport: udp"),
        ["3:39: cameras.a.transport: 'udp' goes with rtsp:// only; leave it out"],
        id="udp file",
    ),
    pytest.param(
        camera("url: 'http://cam/', transport: udp"),
        ["3:38: cameras.a.transport: 'udp' goes with rtsp:// only; leave it out"],
        id="udp http",
    ),
    pytest.param(
        camera("url: 'rtsps://cam/', transport: udp"),
        [
            "3:39: cameras.a.transport: 'udp' goes with rtsp:// only, since rtsps:// is TLS over TCP; leave it out"
        ],
        id="udp rtsps",
    ),
    pytest.param(
        camera_with("rotate: 45"),
        ["3:36: cameras.a.rotate: 45 is not allowed; write 0, 90, 180 or 270"],
        id="odd turn",
    ),
    pytest.param(
        camera_with("rotate: false"),
        ["3:36: cameras.a.rotate: false is not allowed; write 0, 90, 180 or 270"],
        id="no turn",
    ),
    pytest.param(
        camera_with("transport: tpc"),
        ["3:39: cameras.a.transport: 'tpc' is not allowed; write tcp or udp; did you mean 'tcp'?"],
        id="transport",
    ),
    pytest.param(
        camera_with("motion: on"),
        ["3:36: cameras.a.motion: 'on' is not allowed; write auto or off"],
        id="motion on",
    ),
    pytest.param(
        camera_with("motion: false"),
        ["3:36: cameras.a.motion: false is not allowed; write auto or off; did you mean 'off'?"],
        id="motion false",
    ),
    pytest.param(
        camera_with("crop: [0.5, 0, 0.4, 1]"),
        ["3:34: cameras.a.crop: a crop is [x1, y1, x2, y2] with x1 < x2 and y1 < y2"],
        id="crop order",
    ),
    pytest.param(
        camera_with("crop: [0, 0, 1]"),
        ["3:34: cameras.a.crop: a crop is [x1, y1, x2, y2]"],
        id="crop three",
    ),
    pytest.param(
        camera_with("crop: [0, 0, 640, 1]"),
        [
            "3:41: cameras.a.crop[2]: 640 is not a number from 0 to 1; places are shares of width and height, not pixels"
        ],
        id="crop pixels",
    ),
    pytest.param(
        camera_with("mask: [[[0, 0], [1, 1]]]"),
        ["3:35: cameras.a.mask[0]: a polygon needs 3 points or more; there are 2"],
        id="mask points",
    ),
    pytest.param(
        camera_with("mask: [[[0, 0], [640, 0], [1, 1]]]"),
        [
            "3:45: cameras.a.mask[0][1][0]: 640 is not a number from 0 to 1; places are shares of width and height, not pixels"
        ],
        id="mask pixels",
    ),
    pytest.param(
        camera_with("mask: [[0, 0], [640, 0], [1, 1]]"),
        [
            "3:44: cameras.a.mask[1][0]: 640 is not a number from 0 to 1; places are shares of width and height, not pixels"
        ],
        id="mask single pixels",
    ),
    pytest.param(
        camera_with("mask: [[0, 0], [0.5, 0.5], [1, 1]]"),
        ["3:34: cameras.a.mask: this polygon has no area; its points lie on a line"],
        id="mask line",
    ),
    pytest.param(
        camera_with("zones: {steps: [[0.2, 0.5], [0.8, 0.5], [0.2, 1], [0.8, 1.0]]}"),
        [
            "3:43: cameras.a.zones.steps: this polygon crosses itself: its edges from corner 2 [0.8, 0.5] to 3 [0.2, 1] and from corner 4 [0.8, 1] to 1 [0.2, 0.5] cross; write its corners in the order along its border, as [[0.2, 0.5], [0.8, 0.5], [0.8, 1], [0.2, 1]]"
        ],
        id="zone in reading order",
    ),
    pytest.param(
        camera_with("mask: [[0, 0], [1, 1], [1, 0], [0, 0.9]]"),
        [
            "3:34: cameras.a.mask: this polygon crosses itself: its edges from corner 1 [0, 0] to 2 [1, 1] and from corner 3 [1, 0] to 4 [0, 0.9] cross; write its corners in the order along its border, as [[0, 0], [1, 0], [1, 1], [0, 0.9]]"
        ],
        id="mask crosses",
    ),
    pytest.param(
        camera_with("ignore: [[[0, 0], [1, 0], [1, 1]], [[0, 0], [1, 0], [0, 1], [1, 1]]]"),
        [
            "3:63: cameras.a.ignore[1]: this polygon crosses itself: its edges from corner 2 [1, 0] to 3 [0, 1] and from corner 4 [1, 1] to 1 [0, 0] cross; write its corners in the order along its border, as [[0, 0], [1, 0], [1, 1], [0, 1]]"
        ],
        id="ignore crosses",
    ),
    pytest.param(
        camera_with(f"zones: {{z: {[*([i / 20, 0] for i in range(11)), [0, 1], [1, 1]]}}}"),
        [
            "3:39: cameras.a.zones.z: this polygon crosses itself: its edges from corner 11 [0.5, 0] to 12 [0, 1] and from corner 13 [1, 1] to 1 [0, 0] cross; write its corners in the order along its border"
        ],
        id="zone of 13 points crosses",
    ),
    pytest.param(
        camera_with(f"zones: {{z: {[[i / 400, (i % 2) / 2] for i in range(301)]}}}"),
        ["3:39: cameras.a.zones.z: a polygon has 300 points at most; there are 301"],
        id="zone of many points",
    ),
    pytest.param(
        camera_with("mask: [0, 0, 1, 1]"),
        ["3:34: cameras.a.mask: a polygon is a list of points: [[x, y], [x, y], [x, y]]"],
        id="mask box",
    ),
    pytest.param(
        camera_with("ignore: road"),
        ["3:36: cameras.a.ignore: a polygon is a list of points: [[x, y], [x, y], [x, y]]"],
        id="ignore text",
    ),
    pytest.param(
        camera_with("zones: {z: [[0, 0], [1, 0], [1]]}"),
        ["3:56: cameras.a.zones.z[2]: a list is not a point; write [x, y]"],
        id="zone point",
    ),
    pytest.param(
        camera_with("zones: [[0, 0], [1, 0], [1, 1]]"),
        [
            "3:35: cameras.a.zones: a list can't stand here; write a name for each below it, as `porch:`"
        ],
        id="zones list",
    ),
    pytest.param(
        camera_with("zones: {z: left}"),
        ["3:39: cameras.a.zones.z: a polygon is a list of points: [[x, y], [x, y], [x, y]]"],
        id="zone text",
    ),
]
WATCHES = [
    pytest.param(
        watch("prompt: ' '"),
        ["4:15: watches.w.prompt: ' ' is empty; write a text"],
        id="prompt empty",
    ),
    pytest.param(
        watch("prompt: []"),
        ["4:15: watches.w.prompt: the list is empty; write at least one prompt"],
        id="prompt list empty",
    ),
    pytest.param(
        watch("prompt: [red car, Red  Car]"),
        [
            "4:15: watches.w.prompt: the list holds a prompt twice; upper case and spaces make no difference"
        ],
        id="prompt same",
    ),
    pytest.param(
        watch("prompt: [dog, 7]"),
        ["4:21: watches.w.prompt[1]: 7 is not a text as it stands; put it in quotes"],
        id="prompt number",
    ),
    pytest.param(
        watch('prompt: "a\\nb"'),
        ["4:15: watches.w.prompt: 'a\\nb' holds a line break or another control character"],
        id="prompt line",
    ),
    pytest.param(
        watch("prompt: " + "x" * 201),
        [
            "4:15: watches.w.prompt: 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…' is too long; at most 200 characters"
        ],
        id="prompt long",
    ),
    pytest.param(
        watch("prompt: {a: b}"),
        ["4:15: watches.w.prompt: a mapping is not a text"],
        id="prompt mapping",
    ),
    pytest.param(
        watch_with("not: [cat, ' Dog ']"),
        [
            "4:25: watches.w.not: names a prompt of the watch itself, which can't beat itself; leave that out (upper case and spaces make no difference)"
        ],
        id="not itself",
    ),
    pytest.param(
        watch_with("not: [cat, CAT]"),
        [
            "4:25: watches.w.not: the list holds a prompt twice; upper case and spaces make no difference"
        ],
        id="not twice",
    ),
    pytest.param(
        watch_with("not: []"),
        ["4:25: watches.w.not: the list is empty; write at least one prompt"],
        id="not empty",
    ),
    pytest.param(
        watch_with("with: []"),
        ["4:26: watches.w.with: the list is empty; write at least one prompt"],
        id="with empty",
    ),
    pytest.param(
        watch_with("without: 3"),
        ["4:29: watches.w.without: 3 is not a text as it stands; put it in quotes"],
        id="without number",
    ),
    pytest.param(
        watch_with("near: 2"),
        ["4:26: watches.w.near: 2 is not a number from 0 to 1"],
        id="near wrong",
    ),
    pytest.param(
        watch_with("active: mon-fry 22:00-06:00"),
        [
            "4:28: watches.w.active: 'mon-fry 22:00-06:00' names a day that is not one of mon, tue, wed, thu, fri, sat, sun; did you mean 'fri'?"
        ],
        id="active day",
    ),
    pytest.param(
        watch_with("active: [sat, sun 8:00-25:00]"),
        [
            "4:34: watches.w.active[1]: 'sun 8:00-25:00' has a time that is not on the clock; times go from 00:00 to 24:00"
        ],
        id="active time",
    ),
    pytest.param(
        watch_with("active: 06:00-06:00"),
        [
            "4:28: watches.w.active: '06:00-06:00' begins and ends at the same time; leave the times out for whole days"
        ],
        id="active empty span",
    ),
    pytest.param(
        watch_with('active: "8:00-12:00, 13:00-17:00"'),
        [
            "4:28: watches.w.active: '8:00-12:00, 13:00-17:00' has several times in one text; write a list, as [08:00-12:00, 13:00-17:00]"
        ],
        id="active several",
    ),
    pytest.param(
        watch_with("active: 22-06"),
        [
            "4:28: watches.w.active: '22-06' is not a time of the week; write one such as mon-fri 22:00-06:00, 22:00-06:00 or sat,sun"
        ],
        id="active wrong",
    ),
    pytest.param(
        watch_with("active: 22"),
        ["4:28: watches.w.active: 22 is not a text as it stands; put it in quotes"],
        id="active number",
    ),
    pytest.param(
        watch_with("active: []"),
        ["4:28: watches.w.active: the list is empty; leave the key out where always is meant"],
        id="active empty",
    ),
    pytest.param(
        watch_with("not: 3"),
        ["4:25: watches.w.not: 3 is not a text as it stands; put it in quotes"],
        id="not number",
    ),
    pytest.param(
        watch_with("cameras: [aa]"),
        ["4:30: watches.w.cameras[0]: 'aa' is not a camera; did you mean 'a'?"],
        id="camera unknown",
    ),
    pytest.param(
        watch_with("cameras: a"),
        ["4:29: watches.w.cameras: 'a' is not a list; write [one, another]"],
        id="cameras text",
    ),
    pytest.param(
        watch_with("cameras: []"),
        ["4:29: watches.w.cameras: the list is empty; leave the key out where all are meant"],
        id="cameras empty",
    ),
    pytest.param(
        watch_with("cameras: [1]"),
        ["4:30: watches.w.cameras[0]: 1 is not a text as it stands; put it in quotes"],
        id="cameras number",
    ),
    pytest.param(
        camera_with("zones: {steps: [[0,0],[1,0],[1,1]]}")
        + "watches: {w: {prompt: dog, zones: [step]}}\n",
        ["4:36: watches.w.zones[0]: 'step' is not a zone of camera a; did you mean 'steps'?"],
        id="zone unknown",
    ),
    pytest.param(
        watch_with("zones: [steps]"),
        ["4:28: watches.w.zones[0]: 'steps' is not a zone of camera a; there is none"],
        id="zone none",
    ),
    pytest.param(
        watch_with("min_area: 0.5, max_area: 0.2"),
        ["4:45: watches.w.max_area: 0.2 is less than min_area; write that much or more"],
        id="areas",
    ),
    pytest.param(
        watch_with("max_area: 50"),
        ["4:30: watches.w.max_area: 50 is not a number from 0 to 1"],
        id="area percent",
    ),
    pytest.param(
        watch_with("appear: {hits: 0}"),
        ["4:35: watches.w.appear.hits: 0 is not a whole number from 1 to 1000"],
        id="hits 0",
    ),
    pytest.param(
        camera_with("fps: 0.5") + "watches: {w: {prompt: dog}}\n",
        [
            "4:11: watches.w.appear: 3 hits at the 0.5 fps of camera a take 4s, longer than within: 2s; write within: 4s, or hits: 2, or cameras.a.fps: 1"
        ],
        id="appear slow",
    ),
    pytest.param(
        watch_with("appear: {hits: 20, within: 2s}"),
        [
            "4:28: watches.w.appear: 20 hits at the 5 fps of camera a take 3s800ms, longer than within: 2s; write within: 3s800ms, or hits: 11, or cameras.a.fps: 9.5"
        ],
        id="appear hits",
    ),
    pytest.param(
        watch_with("appear: {within: 0s}"),
        ["4:37: watches.w.appear.within: '0s' is too short; write a duration above 0s"],
        id="within 0",
    ),
    pytest.param(
        watch_with("appear: 3"),
        [
            "4:28: watches.w.appear: 3 can't stand here; write `key: value` below it; allowed are hits, within"
        ],
        id="appear number",
    ),
    pytest.param(
        watch_with("dwell: 3"),
        ["4:27: watches.w.dwell: 3 lacks a unit; write 3s, or ms, m, h or d in place of s"],
        id="dwell number",
    ),
    pytest.param(
        watch_with("dwell: 3 sec"),
        [
            "4:27: watches.w.dwell: '3 sec' is not a duration; write a number with a unit, such as 500ms, 3s, 1m30s or 7d"
        ],
        id="dwell unit",
    ),
    pytest.param(
        watch_with("dwell: 30s1m"),
        [
            "4:27: watches.w.dwell: '30s1m' is not a duration; write a number with a unit, such as 500ms, 3s, 1m30s or 7d"
        ],
        id="dwell order",
    ),
    pytest.param(
        watch_with("dwell: -3s"),
        [
            "4:27: watches.w.dwell: '-3s' is not a duration; write a number with a unit, such as 500ms, 3s, 1m30s or 7d"
        ],
        id="dwell negative",
    ),
    pytest.param(
        watch_with("leave: true"),
        ["4:27: watches.w.leave: true is not a duration; write one such as 500ms, 3s, 1m30s or 7d"],
        id="leave bool",
    ),
    pytest.param(
        watch_with("cooldown: 4000d"),
        ["4:30: watches.w.cooldown: '4000d' is too long; at most 3650d"],
        id="cooldown long",
    ),
    pytest.param(
        watch_with("dwell: 1.5"),
        ["4:27: watches.w.dwell: 1.5 lacks a unit; write it as 500ms, 3s, 1m30s or 7d"],
        id="dwell float",
    ),
    pytest.param(
        watch_with("snapshot: no"),
        ["4:30: watches.w.snapshot: 'no' is neither true nor false; write true or false"],
        id="snapshot",
    ),
    pytest.param(
        watch_with("confidence: high"),
        [
            "4:32: watches.w.confidence: 'high' is not a number above 0 and at most 1; write one, or auto"
        ],
        id="watch confidence word",
    ),
    pytest.param(
        watch_with("confidence: Auto"),
        [
            "4:32: watches.w.confidence: 'Auto' is not a number above 0 and at most 1; write one, or auto"
        ],
        id="watch confidence in upper case",
    ),
    pytest.param(
        watch_with("confidence: true"),
        [
            "4:32: watches.w.confidence: true is not a number above 0 and at most 1; write one, or auto"
        ],
        id="watch confidence switch",
    ),
    pytest.param(
        watch_with("confidence: 0"),
        ["4:32: watches.w.confidence: 0 is not a number above 0 and at most 1; write one, or auto"],
        id="watch confidence 0",
    ),
    pytest.param(
        watch_with("confidence: 1.5"),
        [
            "4:32: watches.w.confidence: 1.5 is not a number above 0 and at most 1; write one, or auto"
        ],
        id="watch confidence above 1",
    ),
    pytest.param(
        watch_with("confidence: 30%"),
        [
            "4:32: watches.w.confidence: '30%' is not a number above 0 and at most 1; write one, or auto"
        ],
        id="watch confidence percent",
    ),
    pytest.param(
        watch_with("confidence: [0.3]"),
        [
            "4:32: watches.w.confidence: a list is not a number above 0 and at most 1; write one, or auto"
        ],
        id="watch confidence list",
    ),
    pytest.param(
        watch_with("confidence: {learn: true}"),
        [
            "4:32: watches.w.confidence: a mapping is not a number above 0 and at most 1; write one, or auto"
        ],
        id="watch confidence settings",
    ),
]
SECOND_LOOK = [
    pytest.param(
        watch_with("second_look: maybe"),
        ["4:33: watches.w.second_look: 'maybe' is not allowed; write off, note or require"],
        id="second look: word",
    ),
    pytest.param(
        watch_with("second_look: Require"),
        [
            "4:33: watches.w.second_look: 'Require' is not allowed; write off, note or require; did you mean 'require'?"
        ],
        id="second look: word in upper case",
    ),
    pytest.param(
        watch_with("second_look: false"),
        [
            "4:33: watches.w.second_look: false is not allowed; write off, note or require; did you mean 'off'?"
        ],
        id="second look: false",
    ),
    pytest.param(
        watch_with("second_look: no"),
        [
            "4:33: watches.w.second_look: 'no' is not allowed; write off, note or require; did you mean 'off'?"
        ],
        id="second look: no",
    ),
    pytest.param(
        watch_with("second_look: true"),
        ["4:33: watches.w.second_look: true is not allowed; write off, note or require"],
        id="second look: true",
    ),
    pytest.param(
        watch_with("second_look: 1"),
        ["4:33: watches.w.second_look: 1 is not allowed; write off, note or require"],
        id="second look: number",
    ),
    pytest.param(
        watch_with("second_look: null"),
        ["4:33: watches.w.second_look: an empty value is not allowed; write off, note or require"],
        id="second look: null",
    ),
    pytest.param(
        watch_with("second_look: [note]"),
        ["4:33: watches.w.second_look: a list is not allowed; write off, note or require"],
        id="second look: list",
    ),
    pytest.param(
        look("at_lest: 0.5"),
        ["4:34: watches.w.second_look.at_lest: unknown key; did you mean 'at_least'?"],
        id="second look: key with a slip",
    ),
    pytest.param(
        look("xyz: 1"),
        [
            "4:34: watches.w.second_look.xyz: unknown key; allowed are mode, looks, on_failure, ask, against, at_least, remote, url, model, expect, token"
        ],
        id="second look: key unknown",
    ),
    pytest.param(
        look("mode: false"),
        [
            "4:40: watches.w.second_look.mode: false is not allowed; write off, note or require; did you mean 'off'?"
        ],
        id="second look: mode",
    ),
    pytest.param(
        look("at_least: 0"),
        ["4:44: watches.w.second_look.at_least: 0 is not a number above 0 and at most 1"],
        id="second look: at_least nothing",
    ),
    pytest.param(
        look("at_least: 50"),
        ["4:44: watches.w.second_look.at_least: 50 is not a number above 0 and at most 1"],
        id="second look: at_least in percent",
    ),
    pytest.param(
        look("looks: 0"),
        ["4:41: watches.w.second_look.looks: 0 is not a whole number from 1 to 20"],
        id="second look: no looks",
    ),
    pytest.param(
        look("looks: 2.5"),
        ["4:41: watches.w.second_look.looks: 2.5 is not a whole number from 1 to 20"],
        id="second look: half a look",
    ),
    pytest.param(
        look("on_failure: maybe"),
        ["4:46: watches.w.second_look.on_failure: 'maybe' is not allowed; write alert or hold"],
        id="second look: on_failure",
    ),
    pytest.param(
        look("against: []"),
        ["4:43: watches.w.second_look.against: the list is empty; write at least one prompt"],
        id="second look: against empty",
    ),
    pytest.param(
        look("against: [cat, CAT]"),
        [
            "4:43: watches.w.second_look.against: the list holds a prompt twice; upper case and spaces make no difference"
        ],
        id="second look: against twice",
    ),
    pytest.param(
        look("against: 3"),
        ["4:43: watches.w.second_look.against: 3 is not a text as it stands; put it in quotes"],
        id="second look: against number",
    ),
    pytest.param(
        look("against: [cat, ' DOG ']"),
        [
            "4:43: watches.w.second_look.against: names a prompt of the watch itself, which can't be held against it; leave that out (upper case and spaces make no difference)"
        ],
        id="second look: against itself",
    ),
    pytest.param(
        look("mode: off, against: dog"),
        [
            "4:54: watches.w.second_look.against: names a prompt of the watch itself, which can't be held against it; leave that out (upper case and spaces make no difference)"
        ],
        id="second look: off against itself",
    ),
    pytest.param(
        look("ask: 'Is it wet?'"),
        [
            "4:33: watches.w.second_look: a question needs who answers it; write url: http://127.0.0.1:11434/v1 and model: NAME too"
        ],
        id="second look: question of nobody",
    ),
    pytest.param(
        look("ask: 'Is it wet?', url: http://127.0.0.1/v1"),
        ["4:33: watches.w.second_look: a question needs who answers it; write model: NAME too"],
        id="second look: question without model",
    ),
    pytest.param(
        look("ask: 'Is it wet?', model: m"),
        [
            "4:33: watches.w.second_look: a question needs who answers it; write url: http://127.0.0.1:11434/v1 too"
        ],
        id="second look: question without url",
    ),
    pytest.param(
        look("ask: ''"),
        ["4:39: watches.w.second_look.ask: '' is empty; write a text"],
        id="second look: question empty",
    ),
    pytest.param(
        look("ask: true"),
        ["4:39: watches.w.second_look.ask: true is not a text as it stands; put it in quotes"],
        id="second look: question switch",
    ),
    pytest.param(
        look("url: http://127.0.0.1:11434/v1, model: m"),
        [
            "4:39: watches.w.second_look.url: goes with a question to a language model; write ask: too",
            "4:73: watches.w.second_look.model: goes with a question to a language model; write ask: too",
        ],
        id="second look: server without question",
    ),
    pytest.param(
        look("expect: no"),
        [
            "4:42: watches.w.second_look.expect: goes with a question to a language model; write ask: too"
        ],
        id="second look: expect without question",
    ),
    pytest.param(
        look("token: x"),
        [
            "4:41: watches.w.second_look.token: goes with a question to a language model; write ask: too"
        ],
        id="second look: token without question",
    ),
    pytest.param(
        look("remote: true"),
        [
            "4:42: watches.w.second_look.remote: goes with a question to a language model; write ask: too"
        ],
        id="second look: remote without question",
    ),
    pytest.param(
        look("ask: 'Is it wet?', url: localhost:11434, model: m"),
        [
            "4:58: watches.w.second_look.url: 'localhost:11434' is not the address of a server; write http://host:port/v1"
        ],
        id="second look: url without scheme",
    ),
    pytest.param(
        look("ask: 'Is it wet?', url: rtsp://localhost/v1, model: m"),
        [
            "4:58: watches.w.second_look.url: 'rtsp://localhost/v1' is not the address of a server; write http://host:port/v1"
        ],
        id="second look: url with another scheme",
    ),
    pytest.param(
        look("ask: 'Is it wet?', url: 'http://localhost/v1?token=x', model: m"),
        [
            "4:58: watches.w.second_look.url: 'http://localhost/v1?token=***' holds a ? or #; write the address alone, as http://host:port/v1"
        ],
        id="second look: url with a query",
    ),
    pytest.param(
        look("ask: 'Is it wet?', url: https://me:secret@api.example.com/v1, model: m"),
        [
            "4:58: watches.w.second_look.url: 'https://me:***@api.example.com/v1' is outside of the own network, and pictures would be sent there; write remote: true if that is meant"
        ],
        id="second look: url outside",
    ),
    pytest.param(
        look("ask: 'Is it wet?', remote: false, url: https://api.example.com/v1, model: m"),
        [
            "4:73: watches.w.second_look.url: 'https://api.example.com/v1' is outside of the own network, and pictures would be sent there; write remote: true if that is meant"
        ],
        id="second look: url outside not meant",
    ),
    pytest.param(
        look("ask: 'Is it wet?', url: http://127.0.0.1:11434/v1, model: m, expect: maybe"),
        ["4:103: watches.w.second_look.expect: 'maybe' is not allowed; write yes or no"],
        id="second look: expect",
    ),
    pytest.param(
        look("ask: 'Is it wet?', url: http://127.0.0.1:11434/v1, model: m, expect: true"),
        ["4:103: watches.w.second_look.expect: true is not allowed; write yes or no"],
        id="second look: expect switch",
    ),
    pytest.param(
        look("ask: 'Is it wet?', url: http://127.0.0.1:11434/v1, model: m, remote: maybe"),
        [
            "4:103: watches.w.second_look.remote: 'maybe' is neither true nor false; write true or false"
        ],
        id="second look: remote",
    ),
    pytest.param(
        look("ask: 'Is it wet?', url: http://127.0.0.1:11434/v1, model: m, at_least: 0.5"),
        [
            "4:105: watches.w.second_look.at_least: is for comparing words, and ask is for a question; leave one out"
        ],
        id="second look: share of a question",
    ),
    pytest.param(
        look("ask: 'Is it wet?', url: http://127.0.0.1:11434/v1, model: m, against: cat"),
        [
            "4:104: watches.w.second_look.against: is for comparing words, and ask is for a question; leave one out"
        ],
        id="second look: words of a question",
    ),
    pytest.param(
        f"{model('yoloe-26s-seg')}watches:\n  w: {{prompt: dog, second_look: note}}\n",
        [
            "4:33: watches.w.second_look: compares a picture with words, and the text encoder mobileclip2 is for words alone; take a model whose encoder has an image tower, as yolov8s-worldv2, or ask a language model: {ask: …, url: …, model: …}"
        ],
        id="second look: no image tower",
    ),
    pytest.param(
        f"{model('yoloe-26s-seg')}watches:\n  w: {{prompt: dog, second_look: {{looks: 1}}}}\n",
        [
            "4:33: watches.w.second_look: compares a picture with words, and the text encoder mobileclip2 is for words alone; take a model whose encoder has an image tower, as yolov8s-worldv2, or ask a language model: {ask: …, url: …, model: …}"
        ],
        id="second look: no image tower for settings",
    ),
]
REST = [
    pytest.param(
        also("snapshots: {quality: 0}"),
        ["3:22: snapshots.quality: 0 is not a whole number from 1 to 100"],
        id="quality",
    ),
    pytest.param(
        also("snapshots: {max_size: 100}"),
        ["3:23: snapshots.max_size: 100 lacks a unit; write it as 500KB, 10MB or 1GB"],
        id="size",
    ),
    pytest.param(
        also("snapshots: {max_size: 10M}"),
        [
            "3:23: snapshots.max_size: '10M' is not a size; write a number with a unit, such as 500KB, 10MB or 1GB"
        ],
        id="size unit",
    ),
    pytest.param(
        also("snapshots: {max_size: 0GB}"),
        ["3:23: snapshots.max_size: '0GB' is out of range; a size lies between 1B and 1000TB"],
        id="size zero",
    ),
    pytest.param(
        also("snapshots: {keep: 0d}"),
        ["3:19: snapshots.keep: '0d' is too short; write a duration above 0s"],
        id="keep",
    ),
    pytest.param(
        also("snapshots: {path: 3}"),
        ["3:19: snapshots.path: 3 is not a text as it stands; put it in quotes"],
        id="path number",
    ),
    pytest.param(
        also("notify: {url: ntfy://topic}"),
        ["3:9: notify: is written as a list; write `- url: …` below it"],
        id="notify no list",
    ),
    pytest.param(
        also("notify: tgram://very/secret"),
        ["3:9: notify: is written as a list; write `- url: …` below it"],
        id="notify alone",
    ),
    pytest.param(
        also("notify: [tgram://very/secret]"),
        [
            "3:10: notify[0]: the value can't stand here; write `key: value` below it; allowed are url, watches, cameras, on, template"
        ],
        id="notify a URL alone",
    ),
    pytest.param(
        also("notify: [{on: new}]"),
        ["3:10: notify[0].url: is missing; write where to, as url: ntfy://TOPIC"],
        id="notify without url",
    ),
    pytest.param(
        also("notify: [{url: ntfi://secret}]"),
        [
            "3:16: notify[0].url: the value begins with no service that Apprise knows; did you mean 'ntfy'?"
        ],
        id="notify scheme",
    ),
    pytest.param(
        also("notify: [{url: secret}]"),
        ["3:16: notify[0].url: the value is not a URL of Apprise; write such as ntfy://TOPIC"],
        id="notify no URL",
    ),
    pytest.param(
        also("notify: [{url: tgram://secret/}]"),
        [
            "3:16: notify[0].url: the value is not a whole tgram:// URL; see https://appriseit.com/services"
        ],
        id="notify half a URL",
    ),
    pytest.param(
        also('notify: [{url: "json://localhost", on: [gone]}]'),
        ["3:41: notify[0].on[0]: 'gone' is not allowed; write new, update or end"],
        id="notify on",
    ),
    pytest.param(
        also('notify: [{url: "json://localhost", on: []}]'),
        ["3:40: notify[0].on: the list is empty; write new, update or end"],
        id="notify on nothing",
    ),
    pytest.param(
        also('notify: [{url: "json://localhost", cameras: [b]}]'),
        ["3:46: notify[0].cameras[0]: 'b' is not a camera; there is a"],
        id="notify camera",
    ),
    pytest.param(
        also('notify: [{url: "json://localhost", watches: [dog]}]'),
        ["3:46: notify[0].watches[0]: 'dog' is not a watch; there is none"],
        id="notify watch",
    ),
    pytest.param(
        also('notify: [{url: "json://localhost", template: "{camra}"}]'),
        [
            "3:46: notify[0].template: holds a placeholder that does not exist; did you mean 'camera'?; there is {camera}, {watch}, {prompt}, {confidence}, {zones}, {time}, {type}, {reason} and {id}"
        ],
        id="notify placeholder",
    ),
    pytest.param(
        also('notify: [{url: "json://localhost", template: "{camera.name}"}]'),
        [
            "3:46: notify[0].template: holds a placeholder that does not exist; did you mean 'camera'?; there is {camera}, {watch}, {prompt}, {confidence}, {zones}, {time}, {type}, {reason} and {id}"
        ],
        id="notify attribute",
    ),
    pytest.param(
        also('notify: [{url: "json://localhost", template: "{camera!r}"}]'),
        [
            "3:46: notify[0].template: holds a placeholder with more than its name; there is {camera}, {watch}, {prompt}, {confidence}, {zones}, {time}, {type}, {reason} and {id}"
        ],
        id="notify conversion",
    ),
    pytest.param(
        also('notify: [{url: "json://localhost", template: "{camera"}]'),
        [
            "3:46: notify[0].template: holds a brace without its other; write {{ and }} for braces of your own"
        ],
        id="notify brace",
    ),
    pytest.param(
        also('notify: [{url: "json://localhost", template: " "}]'),
        ["3:46: notify[0].template: ' ' is empty; write a text"],
        id="notify empty template",
    ),
    pytest.param(
        also('notify: [{url: "json://localhost", topic: x}]'),
        ["3:36: notify[0].topic: unknown key; allowed are url, watches, cameras, on, template"],
        id="notify key",
    ),
    pytest.param(
        also("near_misses: {a_day: -1}"),
        ["3:22: near_misses.a_day: -1 is not a whole number from 0 to 1000"],
        id="a_day negative",
    ),
    pytest.param(
        also("near_misses: {a_day: 1001}"),
        ["3:22: near_misses.a_day: 1001 is not a whole number from 0 to 1000"],
        id="a_day high",
    ),
    pytest.param(
        also("near_misses: {a_day: few}"),
        ["3:22: near_misses.a_day: 'few' is not a whole number from 0 to 1000"],
        id="a_day text",
    ),
    pytest.param(
        also("near_misses: {keep: 0d}"),
        ["3:21: near_misses.keep: '0d' is too short; write a duration above 0s"],
        id="near_misses keep nothing",
    ),
    pytest.param(
        also("near_misses: {keep: 3}"),
        ["3:21: near_misses.keep: 3 lacks a unit; write 3s, or ms, m, h or d in place of s"],
        id="near_misses keep number",
    ),
    pytest.param(
        also("near_misses: {max_size: 200}"),
        ["3:25: near_misses.max_size: 200 lacks a unit; write it as 500KB, 10MB or 1GB"],
        id="near_misses size",
    ),
    pytest.param(
        also("near_misses: {path: 3}"),
        ["3:21: near_misses.path: 3 is not a text as it stands; put it in quotes"],
        id="near_misses path number",
    ),
    pytest.param(
        also("near_misses: {quality: 85}"),
        ["3:15: near_misses.quality: unknown key; allowed are path, a_day, keep, max_size"],
        id="near_misses key",
    ),
    pytest.param(
        also("near_misses: false"),
        [
            "3:14: near_misses: false can't stand here; write `key: value` below it; allowed are path, a_day, keep, max_size"
        ],
        id="near_misses off",
    ),
    pytest.param(
        also("snapshots: {path: shots}\nnear_misses: {path: ./shots}"),
        ["4:21: near_misses.path: is the folder of snapshots too; write another"],
        id="one folder for both",
    ),
    pytest.param(
        also("snapshots: {path: shots}\nnear_misses: {path: misses}\nclips: {path: misses}"),
        ["5:15: clips.path: is the folder of near_misses too; write another"],
        id="clips in the folder of near misses",
    ),
    pytest.param(
        also("clips: {before: 30s, after: 30s}"),
        [
            "3:8: clips: longest: 1m leaves nothing for the visit between before and after; write more than 1m"
        ],
        id="clips without room for the visit",
    ),
    pytest.param(
        also("clips: {before: 5}"),
        ["3:17: clips.before: 5 lacks a unit; write 5s, or ms, m, h or d in place of s"],
        id="clips before number",
    ),
    pytest.param(
        also("clips: {longest: 0s}"),
        ["3:18: clips.longest: '0s' is too short; write a duration above 0s"],
        id="clips longest nothing",
    ),
    pytest.param(
        also("clips: {memory: lots}"),
        [
            "3:17: clips.memory: 'lots' is not a size; write a number with a unit, such as 500KB, 10MB or 1GB"
        ],
        id="clips memory text",
    ),
    pytest.param(
        also("clips: {keep: 0d}"),
        ["3:15: clips.keep: '0d' is too short; write a duration above 0s"],
        id="clips keep nothing",
    ),
    pytest.param(
        also("clips: {unmasked: maybe}"),
        ["3:19: clips.unmasked: 'maybe' is neither true nor false; write true or false"],
        id="clips unmasked text",
    ),
    pytest.param(
        also("clips: true"),
        [
            "3:8: clips: true can't stand here; write `key: value` below it; allowed are path, keep, max_size, before, after, longest, memory, unmasked, encode"
        ],
        id="clips switch",
    ),
    pytest.param(
        "detector: {model: toybox}\n"
        "cameras: {a: {url: bundled:street, mask: [[[0, 0], [1, 0], [1, 1]]]}}\n"
        "watches: {w: {prompt: dog, clip: true}}",
        [
            "3:34: watches.w.clip: camera a has a mask, which is not in the video that it sends; write clips.encode: true to have it in the clips, or clips.unmasked: true for clips that show all"
        ],
        id="clip of a camera with a mask",
    ),
    pytest.param(
        "detector: {model: toybox}\n"
        "cameras: {a: {url: /dev/video0}}\n"
        "watches: {w: {prompt: dog, clip: true}}\nclips: {unmasked: true}",
        [
            "3:34: watches.w.clip: camera a is read as pictures, which no clip takes as they are; write clips.encode: true to encode them"
        ],
        id="clip of a device",
    ),
    pytest.param(
        also("watches: {w: {prompt: dog, clip: some}}"),
        ["3:34: watches.w.clip: 'some' is neither true nor false; write true or false"],
        id="clip text",
    ),
    pytest.param(
        also("http: true"),
        [
            "3:7: http: true can't stand here; write `key: value` below it; allowed are host, port, token, page, edits, hosts, root_path, url, frame_ancestors"
        ],
        id="http true",
    ),
    pytest.param(
        also("http: {prot: 1}"),
        ["3:8: http.prot: unknown key; did you mean 'port'?"],
        id="http key",
    ),
    pytest.param(
        also("http: {token: ''}"),
        ["3:15: http.token: the value is empty; write a long secret, or leave it out"],
        id="http token empty",
    ),
    pytest.param(
        also("http: {page: true}"),
        ["3:14: http.page: the page needs a token; write http.token too"],
        id="http page without token",
    ),
    pytest.param(
        also("http: {token: t, hosts: ['https://cams.example.org']}"),
        [
            "3:26: http.hosts[0]: 'https://cams.example.org' is a URL; write the name alone, such as cams.example.org"
        ],
        id="http hosts url",
    ),
    pytest.param(
        also("http: {token: t, hosts: 'cams.example.org:8080'}"),
        [
            "3:25: http.hosts: 'cams.example.org:8080' holds a port; write the name alone, such as cams.example.org"
        ],
        id="http hosts port",
    ),
    pytest.param(
        also("http: {token: t, hosts: ['*.example.org']}"),
        [
            "3:26: http.hosts[0]: '*.example.org' is not a host; write a name such as cams.example.org"
        ],
        id="http hosts wildcard",
    ),
    pytest.param(
        also("http: {token: t, root_path: streamwatch}"),
        ["3:29: http.root_path: 'streamwatch' is not a path; write one such as /streamwatch"],
        id="http root path",
    ),
    pytest.param(
        also("http: {token: t, url: cams.example.org}"),
        [
            "3:23: http.url: 'cams.example.org' is not an address; write one such as https://cams.example.org/streamwatch"
        ],
        id="http url without scheme",
    ),
    pytest.param(
        also('http: {token: t, url: "https://cams.example.org/?a=b"}'),
        [
            "3:23: http.url: 'https://cams.example.org/?a=***' holds more than host and path; write https://cams.example.org/streamwatch"
        ],
        id="http url with a query",
    ),
    pytest.param(
        also("http: {token: t, url: 'https://cams.example.org:x'}"),
        [
            "3:23: http.url: 'https://cams.example.org:x' is not an address; write one such as https://cams.example.org/streamwatch"
        ],
        id="http url with a wrong port",
    ),
    pytest.param(
        also("http: {token: t, root_path: /a/../b}"),
        ["3:29: http.root_path: '/a/../b' is not a path; write one such as /streamwatch"],
        id="http root path up",
    ),
    pytest.param(
        also("http: {token: t, frame_ancestors: ['*']}"),
        [
            "3:36: http.frame_ancestors[0]: '*' is not an origin; write scheme, host and port, as http://ha.local:8123"
        ],
        id="http frame ancestors",
    ),
    pytest.param(
        also("http: {token: t, frame_ancestors: 'http://ha.local; script-src *'}"),
        [
            "3:35: http.frame_ancestors: 'http://ha.local; script-src *' is not an origin; write scheme, host and port, as http://ha.local:8123"
        ],
        id="http frame ancestors inject",
    ),
    pytest.param(
        also("timezone: Mars/Olympus"),
        ["3:11: timezone: 'Mars/Olympus' is not a time zone; write one such as Europe/Berlin"],
        id="timezone wrong",
    ),
    pytest.param(
        also("log: {level: INFO}"),
        [
            "3:14: log.level: 'INFO' is not allowed; write debug, info, warning or error; did you mean 'info'?"
        ],
        id="level",
    ),
    pytest.param(
        also("log: {level: warn}"),
        [
            "3:14: log.level: 'warn' is not allowed; write debug, info, warning or error; did you mean 'warning'?"
        ],
        id="level warn",
    ),
    pytest.param(
        also("log: {format: xml}"),
        ["3:15: log.format: 'xml' is not allowed; write auto, text or json"],
        id="format",
    ),
]
REFERENCES = [
    pytest.param(
        mqtt('password: "${NOT_SET}"'),
        ["3:18: mqtt.password: the environment variable NOT_SET is not set"],
        id="variable",
    ),
    pytest.param(
        mqtt('password: "${NOT"'),
        ["3:18: mqtt.password: a '${' without its '}'; write $$ for a dollar sign"],
        id="reference open",
    ),
    pytest.param(
        mqtt('password: "${a-b}"'),
        [
            "3:18: mqtt.password: a '${…}' that is not understood; write ${NAME}, ${file:PATH} or ${credential:NAME}, and $$ for a dollar sign"
        ],
        id="reference odd",
    ),
    pytest.param(
        mqtt('password: "${file:nothing}"'),
        ["3:18: mqtt.password: the file nothing does not exist"],
        id="file",
    ),
    pytest.param(
        mqtt('password: "${file:.}"'),
        ["3:18: mqtt.password: the file . can't be read: is a directory"],
        id="folder",
    ),
    pytest.param(
        mqtt('password: "${credential:x}"'),
        [
            "3:18: mqtt.password: the credential x is not there: systemd sets $CREDENTIALS_DIRECTORY for a unit with LoadCredential="
        ],
        id="credential",
    ),
]


@pytest.mark.parametrize(
    ("text", "expected"),
    [*YAML, *STRUCTURE, *MQTT, *DETECTOR, *CAMERAS, *WATCHES, *SECOND_LOOK, *REST, *REFERENCES],
)
def test_each_broken_file_gives_exactly_its_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    Path("c.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(Path("c.yaml"))
    said = [str(problem).removeprefix("c.yaml:").strip() for problem in caught.value.problems]
    assert said == expected
    assert str(caught.value) == "\n".join(map(str, caught.value.problems))
