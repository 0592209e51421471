//! Plain: values as bytes and back, for calls whose two ends agree on a type.

use crate::error::{Kind, Result};
use crate::shared::Plain;

use super::Client;

/// The bytes of a value, in this machine's byte order.
#[must_use]
pub fn bytes<T: Plain>(value: &T) -> Vec<u8> {
    let start = std::ptr::from_ref(value).cast::<u8>();
    // SAFETY: a live value, and Plain promises that there is no padding, so every byte is initialised.
    unsafe { std::slice::from_raw_parts(start, size_of::<T>()) }.to_vec()
}

/// A value of its bytes; otherwise in words why they are none.
pub(super) fn value<T: Plain>(bytes: &[u8]) -> Result<T, String> {
    if bytes.len() != size_of::<T>() {
        return Err(format!(
            "has {} bytes, and {} has {}",
            bytes.len(),
            std::any::type_name::<T>(),
            size_of::<T>()
        ));
    }
    // SAFETY: as many bytes as T has, wherever they lie, and Plain promises that any bytes are a value.
    Ok(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

impl Client {
    /// Asks with a value and for a value.
    ///
    /// # Errors
    /// Those of [`call`](Self::call); `Corrupt` when the answer has another size than `B`.
    pub fn call_value<A: Plain, B: Plain>(&self, request: &A) -> Result<B> {
        let answer = self.call(&bytes(request))?;
        value(&answer).map_err(|why| self.0.error(Kind::Corrupt, format!("the answer {why}")))
    }
}
