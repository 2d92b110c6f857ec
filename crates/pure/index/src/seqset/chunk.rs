//! One aligned chunk of 2048 sequences, of which some are members and some are not.

/// Sequences per chunk, and bits per node of the encoding.
pub(super) const SPAN: u64 = 2048;
/// The last offset in a chunk.
pub(super) const LAST: u16 = 2047;
pub(super) const WORDS: usize = 32;
/// Runs that a chunk keeps without a bitmap.
const RUNS: usize = 5;
/// A bitmap with no more runs than this becomes runs again; below [`RUNS`], so that one member more or less does not
/// convert a chunk back and forth.
const FEW: usize = 3;

pub(super) type Words = [u64; WORDS];

/// Up to [`RUNS`] runs, ascending and not touching each other; both ends are members.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Runs {
    len: u8,
    runs: [(u16, u16); RUNS],
}

/// The members of one chunk: never none and never all.
#[derive(Clone, Debug)]
pub(super) enum Chunk {
    Few(Runs),
    Bits(Box<Words>),
}

/// Bits `lo` to `hi` of word `index`, cut to that word.
fn mask(index: usize, lo: u16, hi: u16) -> u64 {
    let first = index * 64;
    let lo = usize::from(lo).saturating_sub(first);
    let Some(hi) = usize::from(hi).checked_sub(first) else { return 0 };
    if lo > 63 {
        return 0;
    }
    let hi = hi.min(63);
    (u64::MAX << lo) & (u64::MAX >> (63 - hi))
}

fn count_words(words: &Words) -> u64 {
    words.iter().map(|word| u64::from(word.count_ones())).sum()
}

/// Runs in a bitmap.
fn count_runs(words: &Words) -> usize {
    let mut before = 0;
    let mut runs = 0;
    for &word in words {
        runs += (word & !(word << 1 | before)).count_ones() as usize;
        before = word >> 63;
    }
    runs
}

/// The first offset from `from` on whose bit is `set`.
fn next_bit(words: &Words, from: u16, set: bool) -> Option<u16> {
    let flip = if set { 0 } else { u64::MAX };
    let first = usize::from(from) / 64;
    for (index, &word) in words.iter().enumerate().skip(first) {
        let mut word = word ^ flip;
        if index == first {
            word &= u64::MAX << (from % 64);
        }
        if word != 0 {
            return Some((index * 64) as u16 + word.trailing_zeros() as u16);
        }
    }
    None
}

/// The last offset up to `from` whose bit is `set`.
fn previous_bit(words: &Words, from: u16, set: bool) -> Option<u16> {
    let flip = if set { 0 } else { u64::MAX };
    let first = usize::from(from) / 64;
    for index in (0..=first).rev() {
        let mut word = words[index] ^ flip;
        if index == first {
            word &= u64::MAX >> (63 - from % 64);
        }
        if word != 0 {
            return Some((index * 64) as u16 + 63 - word.leading_zeros() as u16);
        }
    }
    None
}

impl Runs {
    fn as_slice(&self) -> &[(u16, u16)] {
        &self.runs[..usize::from(self.len)]
    }

    fn words(&self) -> Words {
        let mut words = [0; WORDS];
        for &(lo, hi) in self.as_slice() {
            set(&mut words, lo, hi);
        }
        words
    }

    /// `None` when there are more runs than fit.
    fn from_words(words: &Words, most: usize) -> Option<Runs> {
        if count_runs(words) > most.min(RUNS) {
            return None;
        }
        let mut out = Runs::default();
        let mut from = Some(0);
        while let Some(lo) = from.and_then(|from| next_bit(words, from, true)) {
            let hi = next_bit(words, lo, false).map_or(LAST, |gap| gap - 1);
            out.runs[usize::from(out.len)] = (lo, hi);
            out.len += 1;
            from = (hi < LAST).then(|| hi + 1);
        }
        Some(out)
    }
}

/// Sets a run. All words are visited: 32 steps cost no more than finding out which ones to leave.
fn set(words: &mut Words, lo: u16, hi: u16) {
    for (index, word) in words.iter_mut().enumerate() {
        *word |= mask(index, lo, hi);
    }
}

fn clear(words: &mut Words, lo: u16, hi: u16) {
    for (index, word) in words.iter_mut().enumerate() {
        *word &= !mask(index, lo, hi);
    }
}

impl Chunk {
    /// One run.
    pub(super) fn of_run(lo: u16, hi: u16) -> Chunk {
        let mut runs = Runs { len: 1, ..Runs::default() };
        runs.runs[0] = (lo, hi);
        Chunk::Few(runs)
    }

    /// What a bitmap holds; not nothing and not the whole chunk.
    pub(super) fn of_words(words: &Words) -> Chunk {
        match Runs::from_words(words, RUNS) {
            Some(runs) => Chunk::Few(runs),
            None => Chunk::Bits(Box::new(*words)),
        }
    }

    pub(super) fn words(&self) -> Words {
        match self {
            Chunk::Few(runs) => runs.words(),
            Chunk::Bits(words) => **words,
        }
    }

    pub(super) fn len(&self) -> u64 {
        match self {
            Chunk::Few(runs) => runs.as_slice().iter().map(|&(lo, hi)| u64::from(hi - lo) + 1).sum(),
            Chunk::Bits(words) => count_words(words),
        }
    }

    pub(super) fn contains(&self, at: u16) -> bool {
        match self {
            Chunk::Few(runs) => runs.as_slice().iter().any(|&(lo, hi)| lo <= at && at <= hi),
            Chunk::Bits(words) => words[usize::from(at) / 64] >> (at % 64) & 1 == 1,
        }
    }

    /// Members from `lo` to `hi`.
    pub(super) fn count(&self, lo: u16, hi: u16) -> u64 {
        match self {
            Chunk::Few(runs) => runs
                .as_slice()
                .iter()
                .map(|&(a, b)| (u64::from(b.min(hi)) + 1).saturating_sub(u64::from(a.max(lo))))
                .sum(),
            Chunk::Bits(words) => (usize::from(lo) / 64..=usize::from(hi) / 64)
                .map(|index| u64::from((words[index] & mask(index, lo, hi)).count_ones()))
                .sum(),
        }
    }

    /// Adds a run; answers how many were no members. The chunk may be full afterwards.
    pub(super) fn insert(&mut self, lo: u16, hi: u16) -> u64 {
        // The usual case of members that arrive in order.
        if let Chunk::Few(runs) = self
            && let Some((_, last)) = runs.runs[..usize::from(runs.len)].last_mut()
            && *last + 1 == lo
        {
            *last = hi;
            return u64::from(hi - lo) + 1;
        }
        let added = u64::from(hi - lo) + 1 - self.count(lo, hi);
        if added > 0 {
            self.change(|words| set(words, lo, hi));
        }
        added
    }

    /// Takes a run away; answers how many were members. The chunk may be empty afterwards.
    pub(super) fn remove(&mut self, lo: u16, hi: u16) -> u64 {
        let removed = self.count(lo, hi);
        if removed > 0 {
            self.change(|words| clear(words, lo, hi));
        }
        removed
    }

    /// Adds what a bitmap holds; answers how many were no members. The chunk may be full afterwards.
    pub(super) fn union(&mut self, other: &Words) -> u64 {
        let before = self.len();
        self.change(|words| words.iter_mut().zip(other).for_each(|(word, other)| *word |= other));
        self.len() - before
    }

    fn change(&mut self, change: impl FnOnce(&mut Words)) {
        match self {
            Chunk::Few(runs) => {
                let mut words = runs.words();
                change(&mut words);
                *self = Chunk::of_words(&words);
            }
            Chunk::Bits(words) => {
                change(words);
                if let Some(runs) = Runs::from_words(words, FEW) {
                    *self = Chunk::Few(runs);
                }
            }
        }
    }

    /// The first run from `from` on, cut at `from`.
    pub(super) fn next_run(&self, from: u16) -> Option<(u16, u16)> {
        match self {
            Chunk::Few(runs) => {
                runs.as_slice().iter().find(|&&(_, hi)| hi >= from).map(|&(lo, hi)| (lo.max(from), hi))
            }
            Chunk::Bits(words) => {
                let lo = next_bit(words, from, true)?;
                Some((lo, next_bit(words, lo, false).map_or(LAST, |gap| gap - 1)))
            }
        }
    }

    /// The last offset up to `from` that is no member.
    pub(super) fn previous_gap(&self, from: u16) -> Option<u16> {
        match self {
            Chunk::Few(runs) => match runs.as_slice().iter().find(|&&(lo, hi)| lo <= from && from <= hi) {
                Some(&(lo, _)) => lo.checked_sub(1),
                None => Some(from),
            },
            Chunk::Bits(words) => previous_bit(words, from, false),
        }
    }

    pub(super) fn max(&self) -> Option<u16> {
        match self {
            Chunk::Few(runs) => runs.as_slice().last().map(|&(_, hi)| hi),
            Chunk::Bits(words) => previous_bit(words, LAST, true),
        }
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        match self {
            Chunk::Few(_) => 0,
            Chunk::Bits(_) => size_of::<Words>(),
        }
    }
}
