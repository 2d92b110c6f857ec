//! Passwords and tokens: plain in constant time, or bcrypt as deferred work.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Whether a stored password is a bcrypt hash: `$2a$10$…` with version `a`, `b`, `x` or `y`.
pub fn is_bcrypt(stored: &str) -> bool {
    matches!(
        stored.as_bytes(),
        [b'$', b'2', b'a' | b'b' | b'x' | b'y', b'$', b'0'..=b'9', b'0'..=b'9', b'$', ..]
    )
}

/// What a comparison came to.
#[derive(Debug)]
pub enum PasswordCheck {
    /// The answer.
    Done(bool),
    /// The answer takes a while.
    Deferred(PasswordWork),
}

/// A hash to be computed where waiting is allowed. It owns what it needs; the password is wiped when it is dropped.
pub struct PasswordWork {
    given: Zeroizing<String>,
    stored: String,
}

impl fmt::Debug for PasswordWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordWork")
    }
}

impl PasswordWork {
    /// Whether the password fits the hash. Takes milliseconds to seconds, as the cost in the hash says.
    pub fn run(self) -> bool {
        bcrypt::verify(self.given.as_bytes(), &self.stored).unwrap_or(false)
    }
}

/// Compares a stored password, plain or hashed, with the one that a client gave.
pub fn check(stored: &str, given: &str) -> PasswordCheck {
    if is_bcrypt(stored) {
        let given = Zeroizing::new(given.to_owned());
        return PasswordCheck::Deferred(PasswordWork { given, stored: stored.to_owned() });
    }
    PasswordCheck::Done(equal(stored, given))
}

/// Compares in a time that does not depend on where the texts differ.
pub fn equal(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(stored: &str, given: &str) -> (bool, bool) {
        match check(stored, given) {
            PasswordCheck::Done(good) => (good, false),
            PasswordCheck::Deferred(work) => (work.run(), true),
        }
    }

    #[test]
    fn hashes_are_told_by_their_head() {
        for hash in ["$2a$11$x", "$2b$04$", "$2x$10$abc", "$2y$31$"] {
            assert!(is_bcrypt(hash), "{hash}");
        }
        for plain in ["", "secret", "$2c$11$x", "$2a$1$x", "$2$11$x", "x$2a$11$x", "$2a$11"] {
            assert!(!is_bcrypt(plain), "{plain}");
        }
    }

    #[test]
    fn plain_passwords_are_compared_at_once() {
        assert_eq!(answer("secret", "secret"), (true, false));
        assert_eq!(answer("secret", "secrets"), (false, false));
        assert_eq!(answer("", ""), (true, false));
    }

    #[test]
    fn hashes_are_deferred() {
        let hash = bcrypt::hash("secret", 4).unwrap();
        assert_eq!(answer(&hash, "secret"), (true, true));
        assert_eq!(answer(&hash, "wrong"), (false, true));
        assert_eq!(answer(&hash.replacen("$2b$", "$2a$", 1), "secret"), (true, true));
        assert_eq!(answer(&hash, &hash), (false, true));
        assert_eq!(answer("$2a$04$tooshort", "secret"), (false, true));
        assert_eq!(
            answer("$2a$99$D3zYMeWXTVy5PSQaNzVZmeSb.ZyQpuhEMZ5q0aYq3D8bG3ZnNvRVe", "x"),
            (false, true)
        );
    }
}
