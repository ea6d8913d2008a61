//! HMAC-SHA256 over the raw body, compared in constant time.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The 32 bytes of a signature in hexadecimal.
pub(super) fn parse(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut signature = [0; 32];
    for (byte, pair) in signature.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        // Two hexadecimal digits fit a byte.
        *byte = (high * 16 + low) as u8;
    }
    Some(signature)
}

pub(super) fn verify(secret: &str, body: &[u8], signature: &[u8; 32]) -> bool {
    // HMAC takes keys of any length, so this cannot fail.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return false };
    mac.update(body);
    mac.verify_slice(signature).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_githubs_documentation_verifies() {
        let hex = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        let signature = parse(hex).expect("hexadecimal");
        assert!(verify("It's a Secret to Everybody", b"Hello, World!", &signature));
        assert!(!verify("It's a Secret to Everybody", b"Hello, World?", &signature));
        assert!(!verify("It's a Secret to Nobody", b"Hello, World!", &signature));
    }

    #[test]
    fn only_64_hexadecimal_digits_are_a_signature() {
        assert!(parse("").is_none());
        assert!(parse(&"0".repeat(63)).is_none());
        assert!(parse(&"0".repeat(65)).is_none());
        assert!(parse(&"g".repeat(64)).is_none());
        assert!(parse(&"\u{e9}".repeat(32)).is_none());
        assert!(parse(&"aF".repeat(32)).is_some());
    }
}
