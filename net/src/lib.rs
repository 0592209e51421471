//! wigwag-net: RPC and brokers, each on an existing engine.
