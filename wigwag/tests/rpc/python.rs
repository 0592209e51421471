//! Python: a program that knows only the documented frame calls our server, and serves our client.

use std::process::Stdio;

use crate::carrier::handle;
use crate::process::{Directory, eventually, python};
use crate::refusal::{LONG, refusal};
use wigwag::Kind;
use wigwag::pattern::rpc::{Client, Server};

const FRAMES: &str = r#"
import socket, struct, sys
HEAD = struct.Struct("<2sBBIQQQ")
def send(to, kind, number, body=b"", word=0):
    to.sendall(HEAD.pack(b"wR", 1, kind, len(body), number, word, 0) + body)
def all(of, length):
    data = b""
    while len(data) < length:
        more = of.recv(length - len(data))
        if not more:
            sys.exit("the other side is gone")
        data += more
    return data
def receive(of):
    magic, version, kind, length, number, word, client = HEAD.unpack(all(of, 32))
    assert magic == b"wR" and version == 1
    return kind, number, word, all(of, length)
"#;

#[test]
fn a_python_program_calls_a_server_of_ours() {
    let directory = Directory::new();
    let path = directory.file("socket");
    let server = Server::listen(&format!("rpc+unix:{}", path.display())).expect("a server");
    let stopper = server.stopper();
    std::thread::scope(|scope| {
        scope.spawn(|| server.serve_concurrent(2, handle));
        let script = r#"
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
send(s, 1, 5, b"echo from Python")
assert receive(s) == (2, 5, 0, b"from Python")
send(s, 1, 6, b"refuse because")
assert receive(s) == (3, 6, 1, b"because")
send(s, 1, 7, b"sleep 200000 late")
send(s, 1, 8, b"echo early")
assert receive(s) == (2, 8, 0, b"early")
assert receive(s) == (2, 7, 0, b"late")
# Cancelled, and over its time: no answer to the first, an error or none to the second.
send(s, 1, 9, b"sleep 50000 x")
send(s, 4, 9)
send(s, 1, 10, b"left", word=3_000_000_000)
kind, number, word, body = receive(s)
assert (kind, number) == (2, 10) and body.startswith(b"Some(2."), body
send(s, 6, 0)
assert s.recv(1) == b""
print("well")
"#;
        let output = python("socket", &format!("{FRAMES}\n{script}"))
            .arg(&path)
            .output()
            .expect("run Python");
        stopper.stop();
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words}");
        assert_eq!(output.stdout, b"well\n");
    });
}

#[test]
fn a_python_program_serves_a_client_of_ours() {
    let directory = Directory::new();
    let path = directory.file("socket");
    let script = r#"
l = socket.socket(socket.AF_UNIX)
l.bind(sys.argv[1])
l.listen()
s, _ = l.accept()
held = []
while True:
    kind, number, word, body = receive(s)
    if kind == 6:
        break
    if kind == 4:
        held = [h for h in held if h[0] != number]
    elif body == b"refuse":
        send(s, 3, number, b"no", word=1)
    elif body == b"hold":
        held.append((number, word))
    elif body == b"held":
        # In the other order.
        send(s, 2, number, str(len(held)).encode())
        for other, left in reversed(held):
            send(s, 2, other, b"%d" % (left > 0))
    else:
        send(s, 2, number, body.upper())
"#;
    let mut child = python("socket", &format!("{FRAMES}\n{script}"))
        .arg(&path)
        .stderr(Stdio::inherit())
        .spawn()
        .expect("run Python");
    let address = format!("rpc+unix:{}", path.display());
    let mut client = None;
    eventually("Python listens", || {
        client = Client::connect(&address).ok();
        client.is_some()
    });
    let client = client.expect("connected");
    assert_eq!(client.call(b"loud").expect("call"), b"LOUD");
    refusal(client.call(b"refuse"), Kind::Refused, "no");
    let first = client.start(b"hold").expect("start");
    let second = client.start_timeout(b"hold", LONG).expect("start");
    let third = client.start(b"hold").expect("start");
    third.cancel();
    assert_eq!(client.call(b"held").expect("call"), b"2");
    assert_eq!(first.wait().expect("wait"), b"0");
    assert_eq!(second.wait().expect("wait"), b"1");
    drop(client);
    assert!(child.wait().expect("wait").success());
}
