//! From source and destination texts to a transform.

use super::functions::TokenFunction;
use super::{Fault, Part, Transform, TransformError};
use crate::limits::MAX_FUNCTION_NUMBER;
use crate::name::{is_valid_subject, is_valid_subscription};
use crate::tokens::{is_any, is_rest, tokens};
use crate::wildcard::{count_any, ends_in_rest};

/// The functions by name. The first letter of each word may be of either case, the others are lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Function {
    Wildcard,
    Partition,
    SplitFromLeft,
    SplitFromRight,
    SliceFromLeft,
    SliceFromRight,
    Split,
    Left,
    Right,
    Random,
}

const FUNCTIONS: [(&[&str], Function); 10] = [
    (&["wildcard"], Function::Wildcard),
    (&["partition"], Function::Partition),
    (&["split", "from", "left"], Function::SplitFromLeft),
    (&["split", "from", "right"], Function::SplitFromRight),
    (&["slice", "from", "left"], Function::SliceFromLeft),
    (&["slice", "from", "right"], Function::SliceFromRight),
    (&["split"], Function::Split),
    (&["left"], Function::Left),
    (&["right"], Function::Right),
    (&["random"], Function::Random),
];

fn fault(fault: Fault, token: &[u8]) -> TransformError {
    TransformError::Destination { fault, token: String::from_utf8_lossy(token).into_owned(), index: None }
}

/// Whether the token claims to be a function.
fn looks_like_function(token: &[u8]) -> bool {
    token.len() > 4 && token.starts_with(b"{{") && token.ends_with(b"}}")
}

fn has_blank(token: &[u8]) -> bool {
    token.iter().any(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n' | 0x0c))
}

fn named(name: &[u8]) -> Option<Function> {
    FUNCTIONS.iter().find(|(words, _)| is_spelled(name, words)).map(|&(_, function)| function)
}

fn is_spelled(mut name: &[u8], words: &[&str]) -> bool {
    for word in words {
        let word = word.as_bytes();
        let Some((head, tail)) = name.split_at_checked(word.len()) else { return false };
        if head[0].to_ascii_lowercase() != word[0] || head[1..] != word[1..] {
            return false;
        }
        name = tail;
    }
    name.is_empty()
}

/// Splits `{{ name ( arguments ) }}`.
fn call(token: &[u8]) -> Option<(Function, &[u8])> {
    let inner = token.strip_prefix(b"{{")?.strip_suffix(b"}}")?.trim_ascii();
    let open = inner.iter().position(|&b| b == b'(')?;
    let arguments = inner[open + 1..].strip_suffix(b")")?;
    Some((named(inner[..open].trim_ascii_end())?, arguments))
}

/// Arguments are separated by a comma and the blanks behind it.
fn split_arguments(arguments: &[u8]) -> Vec<&[u8]> {
    arguments
        .split(|&b| b == b',')
        .enumerate()
        .map(|(at, argument)| if at == 0 { argument } else { argument.trim_ascii_start() })
        .collect()
}

fn number(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text.trim_ascii()).ok()?.parse().ok()
}

/// A number that serves as a count, a size or a position in a token.
fn small_number(text: &[u8]) -> Option<i64> {
    number(text).filter(|&n| n <= MAX_FUNCTION_NUMBER)
}

/// Checks the tokens of a destination on their own.
fn check_tokens(destination: &[u8]) -> Result<(), TransformError> {
    let mut rest_seen = false;
    for token in tokens(destination) {
        if token.is_empty() || rest_seen {
            return Err(fault(Fault::InvalidTransform, token));
        }
        if looks_like_function(token) {
            if call(token).is_none() {
                return Err(fault(Fault::UnknownFunction, token));
            }
        } else if has_blank(token) {
            return Err(fault(Fault::InvalidTransform, b""));
        }
        rest_seen = is_rest(token);
    }
    Ok(())
}

/// Whether `destination` can be the destination of a mapping from `source`; an empty one can, and means no transform.
pub fn validate_destination(source: &[u8], destination: &[u8]) -> Result<(), TransformError> {
    Transform::optional(source, destination).map(drop)
}

impl Transform {
    /// Compiles a transform. An empty source stands for `>`; an empty destination is not valid here.
    pub fn new(source: &[u8], destination: &[u8]) -> Result<Transform, TransformError> {
        compile(source, destination, false)
    }

    /// Like [`Transform::new`]; an empty destination gives no transform.
    pub fn optional(source: &[u8], destination: &[u8]) -> Result<Option<Transform>, TransformError> {
        if destination.is_empty() { Ok(None) } else { Transform::new(source, destination).map(Some) }
    }

    /// Compiles a transform that can be reversed: no function but `{{wildcard(n)}}`, and every wildcard of the source
    /// is used. Imports demand it.
    pub fn strict(source: &[u8], destination: &[u8]) -> Result<Transform, TransformError> {
        compile(source, destination, true)
    }

    /// The transform that undoes this one. Only what [`Transform::strict`] accepts can be undone.
    pub fn reverse(&self) -> Result<Transform, TransformError> {
        let positions = wildcard_positions(&self.source);
        let mut pattern = Vec::with_capacity(self.destination.len());
        let mut used = Vec::new();
        for part in &self.parts {
            if !pattern.is_empty() {
                pattern.push(b'.');
            }
            match part {
                Part::Literal(text) => pattern.extend_from_slice(text),
                Part::Rest => pattern.push(b'>'),
                Part::Wildcard(at) => {
                    used.push(*at);
                    pattern.push(b'*');
                }
                _ => return Err(fault(Fault::OnlyWildcard, &self.destination)),
            }
        }
        let mut back = Vec::with_capacity(self.source.len());
        for (at, token) in tokens(&self.source).enumerate() {
            if at > 0 {
                back.push(b'.');
            }
            if positions.contains(&at) {
                let index = used.iter().position(|&u| u == at);
                let index = index.ok_or_else(|| fault(Fault::NotUsingAll, &self.destination))?;
                back.extend_from_slice(format!("${}", index + 1).as_bytes());
            } else {
                back.extend_from_slice(token);
            }
        }
        compile(&pattern, &back, false)
    }
}

/// Replaces each `*` by `$1`, `$2` and so on: the destination that leaves a pattern's subjects as they are.
pub fn number_wildcards(pattern: &[u8]) -> Vec<u8> {
    let (mut out, mut index) = (Vec::with_capacity(pattern.len() + 4), 0);
    for (at, token) in tokens(pattern).enumerate() {
        if at > 0 {
            out.push(b'.');
        }
        if is_any(token) {
            index += 1;
            out.extend_from_slice(format!("${index}").as_bytes());
        } else {
            out.extend_from_slice(token);
        }
    }
    out
}

fn wildcard_positions(source: &[u8]) -> Vec<usize> {
    tokens(source).enumerate().filter(|(_, token)| is_any(token)).map(|(at, _)| at).collect()
}

fn compile(source: &[u8], destination: &[u8], strict: bool) -> Result<Transform, TransformError> {
    let source = if source.is_empty() { b">" } else { source };
    if destination.is_empty() {
        return Err(TransformError::InvalidSubject);
    }
    check_tokens(destination)?;
    let sound = is_valid_subject(source)
        && is_valid_subscription(destination)
        && count_any(destination) == 0
        && ends_in_rest(source) == ends_in_rest(destination);
    if !sound {
        return Err(TransformError::InvalidSubject);
    }
    let builder = Builder { positions: wildcard_positions(source), strict, literal: !ends_in_rest(source) };
    let parts = tokens(destination).map(|token| builder.part(token)).collect::<Result<Box<[_]>, _>>()?;
    if strict {
        let all_used = builder.positions.iter().all(|at| parts.contains(&Part::Wildcard(*at)));
        if !all_used {
            return Err(fault(Fault::NotUsingAll, destination));
        }
    }
    let rest_at = ends_in_rest(source).then(|| tokens(source).count() - 1);
    Ok(Transform { source: source.into(), destination: destination.into(), parts, rest_at })
}

struct Builder {
    /// Where the source has its `*`.
    positions: Vec<usize>,
    strict: bool,
    /// Whether the source lacks `>`; with no `*` either, it is a literal.
    literal: bool,
}

impl Builder {
    fn part(&self, token: &[u8]) -> Result<Part, TransformError> {
        if is_rest(token) {
            return Ok(Part::Rest);
        }
        if let Some(index) = token.strip_prefix(b"$").and_then(dollar) {
            return Ok(Part::Wildcard(self.position(index, token)?));
        }
        if !looks_like_function(token) {
            return Ok(Part::Literal(token.into()));
        }
        let (function, arguments) = call(token).ok_or_else(|| fault(Fault::UnknownFunction, token))?;
        if self.strict && function != Function::Wildcard {
            return Err(fault(Fault::OnlyWildcard, token));
        }
        let arguments = split_arguments(arguments);
        let bad = || fault(Fault::InvalidArgument, token);
        match function {
            Function::Wildcard => match arguments[..] {
                [b""] => Err(fault(Fault::NotEnoughArguments, token)),
                [index] => Ok(Part::Wildcard(self.position(number(index).ok_or_else(bad)?, token)?)),
                _ => Err(fault(Fault::TooManyArguments, token)),
            },
            Function::Random => match arguments[..] {
                [bound] => {
                    let bound = small_number(bound).ok_or_else(bad)?;
                    Ok(Part::Random { bound: u64::try_from(bound).unwrap_or(0) })
                }
                _ => Err(fault(Fault::NotEnoughArguments, token)),
            },
            Function::Partition => self.partition(&arguments, token),
            _ => self.token_function(function, &arguments, token),
        }
    }

    fn partition(&self, arguments: &[&[u8]], token: &[u8]) -> Result<Part, TransformError> {
        let bad = || fault(Fault::InvalidArgument, token);
        // A negative count wraps, as it does in deployed configurations.
        let buckets = small_number(arguments[0]).ok_or_else(bad)? as u32;
        let indexes =
            arguments[1..].iter().map(|a| number(a).ok_or_else(bad)).collect::<Result<Vec<_>, _>>()?;
        // A literal source has no tokens to choose from: the whole subject is hashed, whatever the indexes say.
        if indexes.is_empty() || self.source_is_literal() {
            return Ok(Part::Partition { buckets, of: None });
        }
        let of = indexes.into_iter().map(|i| self.position(i, token)).collect::<Result<Box<[_]>, _>>()?;
        Ok(Part::Partition { buckets, of: Some(of) })
    }

    fn token_function(
        &self,
        function: Function,
        arguments: &[&[u8]],
        token: &[u8],
    ) -> Result<Part, TransformError> {
        let bad = || fault(Fault::InvalidArgument, token);
        let &[index, argument] = arguments else {
            let missing = arguments.len() < 2;
            return Err(fault(
                if missing { Fault::NotEnoughArguments } else { Fault::TooManyArguments },
                token,
            ));
        };
        let index = number(index).ok_or_else(bad)?;
        let function = if function == Function::Split {
            if argument.iter().any(|&b| b == b' ' || b == b'.') {
                return Err(bad());
            }
            TokenFunction::Split(argument.into())
        } else {
            // Negative sizes are out of every token's range, like zero.
            let size = usize::try_from(small_number(argument).ok_or_else(bad)?).unwrap_or(0);
            match function {
                Function::SplitFromLeft => TokenFunction::SplitFromLeft(size),
                Function::SplitFromRight => TokenFunction::SplitFromRight(size),
                Function::SliceFromLeft => TokenFunction::SliceFromLeft(size),
                Function::SliceFromRight => TokenFunction::SliceFromRight(size),
                Function::Left => TokenFunction::Left(size),
                _ => TokenFunction::Right(size),
            }
        };
        Ok(Part::Token { at: self.position(index, token)?, function })
    }

    fn source_is_literal(&self) -> bool {
        self.literal && self.positions.is_empty()
    }

    /// The position of the `index`-th `*`. Zero and negative indexes mean the first token, as upstream has it.
    fn position(&self, index: i64, token: &[u8]) -> Result<usize, TransformError> {
        let out_of_range = |named| {
            let token = String::from_utf8_lossy(token).into_owned();
            TransformError::Destination { fault: Fault::IndexOutOfRange, token, index: named }
        };
        if self.source_is_literal() {
            return Err(out_of_range(None));
        }
        match usize::try_from(index) {
            Ok(0) | Err(_) if index <= 0 => Ok(0),
            Ok(n) => self.positions.get(n - 1).copied().ok_or_else(|| out_of_range(Some(index))),
            Err(_) => Err(out_of_range(Some(index))),
        }
    }
}

/// The index in `$n`; anything that is no number makes the token a literal.
fn dollar(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(source: &str, destination: &str) -> String {
        match validate_destination(source.as_bytes(), destination.as_bytes()) {
            Ok(()) => "ok".to_owned(),
            Err(error) => error.to_string(),
        }
    }

    const RANGE: &str = "wildcard index out of range";
    const ARGUMENT: &str = "function argument is invalid or in the wrong format";
    const FEW: &str = "not enough arguments passed to the function";
    const MANY: &str = "too many arguments passed to the function";
    const UNKNOWN: &str = "unknown function";

    #[test]
    fn destinations_with_two_wildcards_to_choose_from() {
        for (token, expected) in [
            ("{{partition(0)}}", "ok"),
            ("{{partition(-1)}}", "ok"),
            ("{{partition(2147483647)}}", "ok"),
            ("{{partition(2147483648)}}", ARGUMENT),
            ("{{partition(10,0)}}", "ok"),
            ("{{partition(10,-1)}}", "ok"),
            ("{{partition(10,)}}", ARGUMENT),
            ("{{partition(10,3)}}", "[3]"),
            ("{{partition()}}", ARGUMENT),
            ("{{partition(10,a)}}", ARGUMENT),
            ("{{partition( 10 , 1 , 2 )}}", "ok"),
            ("{{partition(10,1,2,1)}}", "ok"),
            ("{{random(-1)}}", "ok"),
            ("{{random()}}", ARGUMENT),
            ("{{random(1,2)}}", FEW),
            ("{{random(2147483648)}}", ARGUMENT),
            ("{{wildcard(1,2)}}", MANY),
            ("{{wildcard(,)}}", MANY),
            ("{{wildcard(a)}}", ARGUMENT),
            ("{{wildcard()}}", FEW),
            ("{{wildcard( )}}", ARGUMENT),
            ("{{wildcard(3)}}", "[3]"),
            ("{{wildcard(2147483648)}}", "[2147483648]"),
            ("{{wildcard(0)}}", "ok"),
            ("{{wildcard(-5)}}", "ok"),
            ("{{wildcard(+1)}}", "ok"),
            ("{{ Wildcard ( 1 ) }}", "ok"),
            ("{{\twildcard(1)}}", "ok"),
            ("{{WILDCARD(1)}}", UNKNOWN),
            ("{{x}}", UNKNOWN),
            ("{{}}", "ok"),
            ("{{wildcard}}", UNKNOWN),
            ("{{(1)}}", UNKNOWN),
            ("{{wildcard(1)z}}", UNKNOWN),
            ("{{wildcard(1)}}x", "ok"),
            ("{{wildcard(1))}}", ARGUMENT),
            ("{{wildcard((1)}}", ARGUMENT),
            ("{{split(1)}}", FEW),
            ("{{split()}}", FEW),
            ("{{split(1,)}}", "ok"),
            ("{{split(1,a b)}}", ARGUMENT),
            ("{{split(1, -)}}", "ok"),
            ("{{split(1,- )}}", ARGUMENT),
            ("{{split(1,-,2)}}", MANY),
            ("{{split(1,,)}}", MANY),
            ("{{split(0,-)}}", "ok"),
            ("{{split(3,-)}}", "[3]"),
            ("{{split(a,-)}}", ARGUMENT),
            ("{{split( , )}}", ARGUMENT),
            ("{{split(1,--)}}", "ok"),
            ("{{SPLIT(1,-)}}", UNKNOWN),
            ("{{left(1)}}", FEW),
            ("{{left()}}", FEW),
            ("{{left(1,)}}", ARGUMENT),
            ("{{left(,1)}}", ARGUMENT),
            ("{{left(1,-1)}}", "ok"),
            ("{{left(1,a)}}", ARGUMENT),
            ("{{left(1,2,3)}}", MANY),
            ("{{left(3,1)}}", "[3]"),
            ("{{right(1,2147483648)}}", ARGUMENT),
            ("{{slicefromleft(1,0)}}", "ok"),
            ("{{slicefromright(1, 2)}}", "ok"),
            ("{{splitfromleft(1,a)}}", ARGUMENT),
            ("{{SplitFromLeft(1,3)}}", "ok"),
            ("{{splitFromleft(1,3)}}", "ok"),
            ("$0", "ok"),
            ("$-1", "ok"),
            ("$3", "[3]"),
            ("$+1", "ok"),
            ("$1x", "ok"),
            ("$", "ok"),
            ("$99999999999999999999", "ok"),
            ("a*", "ok"),
        ] {
            let expected = match expected {
                "ok" => "ok".to_owned(),
                index if index.starts_with('[') => {
                    format!("invalid mapping destination: {RANGE} in {token}: {index}")
                }
                text => format!("invalid mapping destination: {text} in {token}"),
            };
            assert_eq!(message("foo.*.*", &format!("x.{token}")), expected, "{token}");
        }
    }

    #[test]
    fn a_dot_always_separates_tokens() {
        assert_eq!(message("foo.*.*", "x.{{split(1,.)}}"), "ok");
        assert_eq!(message("foo.*.*", "x.{{wildcard(1.0)}}"), "ok");
    }

    #[test]
    fn literal_sources_have_no_wildcards_to_name() {
        let range = |token: &str| format!("invalid mapping destination: {RANGE} in {token}");
        for token in ["{{wildcard(1)}}", "{{wildcard(0)}}", "$1", "$0", "{{split(0,-)}}", "{{left(1,1)}}"] {
            assert_eq!(message("foo.bar", &format!("x.{token}")), range(token));
        }
        for token in ["{{partition(10)}}", "{{partition(10,1)}}", "{{random(3)}}", "{{random(-3)}}", "y"] {
            assert_eq!(message("foo.bar", &format!("x.{token}")), "ok", "{token}");
        }
        assert!(message("foo.bar", "x.{{left(1)}}").contains(FEW));
        assert!(message("foo.bar", "x.{{left(a,b)}}").contains(ARGUMENT));
    }

    #[test]
    fn both_ends_must_be_subjects() {
        let invalid = "invalid mapping destination: invalid transform";
        for (source, destination, expected) in [
            ("foo.*.*", "x.>", "invalid subject"),
            ("foo.*.*", "x.*", "invalid subject"),
            ("foo.*.*", ">", "invalid subject"),
            ("foo.*.*", "x.{{wildcard(1)}}.>", "invalid subject"),
            ("foo.>", "x", "invalid subject"),
            ("foo", "x.>", "invalid subject"),
            ("foo..bar", "x", "invalid subject"),
            ("foo bar", "x", "invalid subject"),
            ("foo.*.*", "x..y", invalid),
            ("foo.*.*", "x.y z", invalid),
            ("foo.*.*", "x. ", invalid),
            ("foo.*.*", "x.>.z", "invalid mapping destination: invalid transform in z"),
            ("foo.*.*", "", "ok"),
            ("", "x.>", "ok"),
            (">", "x.>", "ok"),
            ("foo*", "y", "ok"),
            ("foo.>", "y.{{partition(5)}}.>", "ok"),
            ("foo.>", "y.{{wildcard(0)}}.>", "ok"),
            ("foo.*.>", "y.{{partition(5,1)}}.>", "ok"),
        ] {
            assert_eq!(message(source, destination), expected, "{source} to {destination}");
        }
    }

    #[test]
    fn strict_transforms_use_every_wildcard_and_nothing_else() {
        let strict =
            |s: &str, d: &str| Transform::strict(s.as_bytes(), d.as_bytes()).map_err(|e| e.to_string());
        assert!(strict("foo.*.*", "bar.$2.{{wildcard(1)}}").is_ok());
        assert!(strict("foo.>", "bar.>").is_ok());
        let unused = strict("foo.*.*", "bar.$1").unwrap_err();
        assert!(unused.contains("not using all of the token wildcard(s)"), "{unused}");
        let function = strict("foo.*", "bar.{{partition(2,1)}}").unwrap_err();
        assert!(
            function.contains("the only mapping function allowed for import transforms is {{Wildcard()}}")
        );
    }

    #[test]
    fn reversing_gives_the_way_back() {
        for (source, destination, back_source, back_destination) in [
            ("foo.*.*", "bar.$2.$1", "bar.*.*", "foo.$2.$1"),
            ("foo.*.>", "$1.x.>", "*.x.>", "foo.$1.>"),
            ("*.*.*", "$3.$1.$2", "*.*.*", "$2.$3.$1"),
            ("foo", "bar.baz", "bar.baz", "foo"),
        ] {
            let there = Transform::strict(source.as_bytes(), destination.as_bytes()).unwrap();
            let back = there.reverse().unwrap();
            assert_eq!(back.source(), back_source.as_bytes());
            assert_eq!(back.destination(), back_destination.as_bytes());
            assert_eq!(back.reverse().unwrap().source(), source.as_bytes());
        }
        assert!(Transform::new(b"foo.*", b"bar").unwrap().reverse().is_err());
        assert!(Transform::new(b"foo.*", b"bar.{{left(1,1)}}").unwrap().reverse().is_err());
    }

    #[test]
    fn patterns_become_destinations() {
        assert_eq!(number_wildcards(b"a.*.b.*.>"), b"a.$1.b.$2.>");
    }
}
