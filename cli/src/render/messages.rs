//! Messages: what `recv` prints while it goes on, flushed one by one.

use std::io::{self, Write};

use serde_json::{Map, Value, json};
use wigwag::message::{Received, Sender};

use super::base64;

/// How a message is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Its bytes and a newline.
    Line,
    /// Its bytes.
    Raw,
    /// Its bytes and a NUL.
    Null,
    /// A JSON object and a newline.
    Json,
}

/// Prints on standard output.
#[derive(Debug)]
pub(crate) struct Printer {
    form: Form,
    out: io::Stdout,
}

impl Printer {
    pub(crate) fn new(form: Form) -> Self {
        Printer {
            form,
            out: io::stdout(),
        }
    }

    /// One message, whole and flushed.
    pub(crate) fn message(&mut self, body: &[u8], received: &Received) -> io::Result<()> {
        let mut out = self.out.lock();
        match self.form {
            Form::Json => {
                serde_json::to_writer(&mut out, &object(body, received))
                    .map_err(io::Error::from)?;
                out.write_all(b"\n")?;
            }
            Form::Raw => out.write_all(body)?,
            Form::Line => {
                out.write_all(body)?;
                out.write_all(b"\n")?;
            }
            Form::Null => {
                out.write_all(body)?;
                out.write_all(b"\0")?;
            }
        }
        out.flush()
    }

    /// Bytes of a stream, exactly.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut out = self.out.lock();
        out.write_all(bytes)?;
        out.flush()
    }
}

/// `body` as text where it is UTF-8, else `base64`; the rest only where the facility has it.
fn object(body: &[u8], received: &Received) -> Value {
    let mut object = Map::new();
    object.insert("version".into(), json!(super::json::VERSION));
    object.insert("bytes".into(), json!(body.len()));
    match std::str::from_utf8(body) {
        Ok(text) => object.insert("body".into(), json!(text)),
        Err(_) => object.insert("base64".into(), json!(base64::encode(body))),
    };
    if let Some(priority) = received.note.priority {
        object.insert("priority".into(), json!(priority));
    }
    if let Some(kind) = received.note.kind {
        object.insert("type".into(), json!(kind));
    }
    for (name, count) in [("missed", received.missed), ("lost", received.lost)] {
        if count > 0 {
            object.insert(name.into(), json!(count));
        }
    }
    match &received.sender {
        Some(Sender::Process { pid, uid, gid }) => {
            let mut sender = json!({"pid": pid, "uid": uid});
            // A signal does not say the group of its sender.
            if *gid != u32::MAX {
                sender["gid"] = json!(gid);
            }
            object.insert("sender".into(), sender);
        }
        Some(Sender::Address(address)) => {
            object.insert("sender".into(), json!({ "address": address }));
        }
        None => {}
    }
    Value::Object(object)
}
