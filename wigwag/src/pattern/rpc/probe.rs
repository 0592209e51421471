//! Probe: calls a server in this process through a name of its own, over each carrier.

use super::{Client, Server};
use crate::error::{Error, Result};

pub(crate) fn unix() -> Result<()> {
    calls(&format!("rpc+unix:@wigwag-probe-{}", std::process::id()))
}

pub(crate) fn tcp() -> Result<()> {
    // In numbers: a name may not resolve, and that says nothing about TCP.
    calls("rpc+tcp:127.0.0.1:0").or_else(|error| calls("rpc+tcp:[::1]:0").map_err(|_| error))
}

pub(crate) fn channel() -> Result<()> {
    calls(&format!("rpc+channel:/wigwag-probe-{}", std::process::id()))
}

pub(crate) fn mq() -> Result<()> {
    let small = "depth=1&max_len=64";
    calls(&format!(
        "rpc+mq:/wigwag-probe-{}?{small}",
        std::process::id()
    ))
}

fn calls(address: &str) -> Result<()> {
    let server = Server::listen(address)?;
    let stopper = server.stopper();
    std::thread::scope(|scope| {
        let serve = || server.serve(|request| Ok(request.into_bytes()));
        let serving = std::thread::Builder::new()
            .spawn_scoped(scope, serve)
            .map_err(|cause| {
                Error::os("start", "thread of the server", server.address(), &cause)
            })?;
        let called = Client::connect(server.address())
            .and_then(|client| client.call(b"probe"))
            .map(drop);
        stopper.stop();
        // Its panic would be ours to pass on.
        let served = serving
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        called.and(served)
    })
}
