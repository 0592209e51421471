//! Boost: Boost.Interprocess' `message_queue`, two C++ processes that are compiled here. Without them nothing is said of it.

use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::channel::team::{Contestant, How};

pub const QUEUE: Contestant = Contestant {
    name: "Boost message_queue",
    how: How::Program(build),
};

/// Compiles it beside this program.
fn build() -> io::Result<PathBuf> {
    let program = std::env::current_exe()?.with_file_name("peers-boost");
    let mut compiler = Command::new("c++")
        .args([
            "-std=c++17",
            "-O2",
            "-x",
            "c++",
            "-",
            "-lrt",
            "-pthread",
            "-o",
        ])
        .arg(&program)
        .stdin(Stdio::piped())
        .spawn()
        .map_err(wanting)?;
    if let Some(mut input) = compiler.stdin.take() {
        io::Write::write_all(&mut input, include_bytes!("boost.cpp"))?;
    }
    if compiler.wait()?.success() {
        Ok(program)
    } else {
        Err(wanting("the compiler failed"))
    }
}

fn wanting(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        format!("c++: {error}; install g++ and libboost-dev"),
    )
}
