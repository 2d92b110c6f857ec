//! The operating system's errors in the words that operators know.

use std::io;

/// `connection refused` for `Connection refused (os error 111)`.
pub(crate) fn error(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    #[test]
    fn errors_are_in_lower_case_without_numbers() {
        let error = std::io::Error::from_raw_os_error(2);
        assert_eq!(super::error(&error), "no such file or directory");
        assert_eq!(super::error(&std::io::Error::other("")), "");
    }
}
