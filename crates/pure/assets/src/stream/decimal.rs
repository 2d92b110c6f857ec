//! Whole numbers of any length, in decimal: what counters count in.

use std::cmp::Ordering;

/// Digits per limb.
const WIDTH: usize = 9;
/// One more than the largest limb.
const BASE: u32 = 1_000_000_000;

/// A whole number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decimal {
    negative: bool,
    /// The lowest first, without zeros at the end. None for zero.
    limbs: Vec<u32>,
}

impl Decimal {
    /// Reads `[+-]digits`. Nothing else is a number; cost and memory are linear in the text.
    pub fn parse(text: &[u8]) -> Option<Decimal> {
        let (negative, digits) = match text.split_first() {
            Some((b'-', rest)) => (true, rest),
            Some((b'+', rest)) => (false, rest),
            _ => (false, text),
        };
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let limbs = digits
            .rchunks(WIDTH)
            .map(|limb| limb.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')))
            .collect();
        Some(Decimal { negative, limbs }.normal())
    }

    fn normal(mut self) -> Decimal {
        while self.limbs.last() == Some(&0) {
            self.limbs.pop();
        }
        self.negative &= !self.limbs.is_empty();
        self
    }

    /// The sum.
    pub fn plus(&self, other: &Decimal) -> Decimal {
        if self.negative == other.negative {
            return Decimal { negative: self.negative, limbs: sum(&self.limbs, &other.limbs) }.normal();
        }
        match compare(&self.limbs, &other.limbs) {
            Ordering::Equal => Decimal::default(),
            Ordering::Greater => {
                Decimal { negative: self.negative, limbs: difference(&self.limbs, &other.limbs) }.normal()
            }
            Ordering::Less => {
                Decimal { negative: other.negative, limbs: difference(&other.limbs, &self.limbs) }.normal()
            }
        }
    }

    /// The difference.
    pub fn minus(&self, other: &Decimal) -> Decimal {
        let negated = Decimal { negative: !other.negative, limbs: other.limbs.clone() };
        self.plus(&negated.normal())
    }

    /// Appends the digits, with `-` before a negative number.
    pub fn print(&self, out: &mut Vec<u8>) {
        if self.negative {
            out.push(b'-');
        }
        let mut digits = itoa::Buffer::new();
        let Some((highest, rest)) = self.limbs.split_last() else { return out.push(b'0') };
        out.extend_from_slice(digits.format(*highest).as_bytes());
        for limb in rest.iter().rev() {
            let text = digits.format(*limb).as_bytes();
            out.extend(std::iter::repeat_n(b'0', WIDTH - text.len()));
            out.extend_from_slice(text);
        }
    }

    /// As text.
    pub fn text(&self) -> String {
        let mut out = Vec::new();
        self.print(&mut out);
        String::from_utf8(out).unwrap_or_default()
    }
}

fn compare(a: &[u32], b: &[u32]) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.iter().rev().cmp(b.iter().rev()))
}

fn sum(a: &[u32], b: &[u32]) -> Vec<u32> {
    let (mut out, mut carry) = (Vec::with_capacity(a.len().max(b.len()) + 1), 0);
    for at in 0..a.len().max(b.len()) {
        let total = a.get(at).unwrap_or(&0) + b.get(at).unwrap_or(&0) + carry;
        out.push(total % BASE);
        carry = total / BASE;
    }
    out.push(carry);
    out
}

/// `a` is not the smaller one.
fn difference(a: &[u32], b: &[u32]) -> Vec<u32> {
    let (mut out, mut borrow) = (Vec::with_capacity(a.len()), 0);
    for (at, limb) in a.iter().enumerate() {
        let less = b.get(at).unwrap_or(&0) + borrow;
        borrow = u32::from(*limb < less);
        out.push(limb + borrow * BASE - less);
    }
    out
}

#[cfg(test)]
mod tests {
    use midge_stdx::entropy::{Entropy, Seeded};

    use super::*;

    fn of(text: &str) -> Decimal {
        Decimal::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn sums_equal_those_of_machine_numbers() {
        let mut random = Seeded::new(3);
        for _ in 0..2000 {
            let bits = random.below(100);
            let mut draw = || {
                ((i128::from(random.next_u64()) << 40) >> bits) * if random.below(2) == 0 { 1 } else { -1 }
            };
            let (a, b) = (draw(), draw());
            assert_eq!(of(&a.to_string()).plus(&of(&b.to_string())).text(), (a + b).to_string());
            assert_eq!(of(&a.to_string()).minus(&of(&b.to_string())).text(), (a - b).to_string());
        }
    }

    #[test]
    fn texts_are_numbers_or_nothing() {
        assert_eq!(
            (of("+007").text(), of("-0").text(), of("-1000000000000000000000").text()),
            ("7".into(), "0".into(), "-1000000000000000000000".into())
        );
        for bad in ["", "+", "-", "1.0", "+-1", " 1", "1e3", "0x1"] {
            assert_eq!(Decimal::parse(bad.as_bytes()), None, "{bad}");
        }
        let long = "9".repeat(5000);
        assert_eq!(of(&long).plus(&of("1")).text(), format!("1{}", "0".repeat(5000)));
    }
}
