//! Bare loops over files: what the device and the file system allow, before any design.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use super::{RECORD, Row, Shape};

type Result<T> = std::result::Result<T, String>;

/// How a loop makes its bytes durable.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sync {
    /// `fdatasync` after the write.
    Data,
    /// The file is opened with `O_DSYNC`.
    Open,
    /// `O_DSYNC` and `O_DIRECT`, whole pages.
    Direct,
}

/// Bytes that start at a multiple of a page, as `O_DIRECT` asks.
pub(super) struct Aligned {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Aligned {
    fn new(len: usize) -> Aligned {
        let bytes = vec![0x5a; len + 4096];
        let start = bytes.as_ptr().align_offset(4096);
        Aligned { bytes, start, len }
    }

    fn get(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.len]
    }
}

fn text(error: std::io::Error) -> String {
    error.to_string()
}

fn create(path: &Path, sync: Sync) -> Result<File> {
    let flags = match sync {
        Sync::Data => OFlags::empty(),
        Sync::Open => OFlags::DSYNC,
        Sync::Direct => OFlags::DSYNC | OFlags::DIRECT,
    };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).custom_flags(flags.bits().cast_signed());
    options.open(path).map_err(text)
}

/// A file full of zeros on stable storage.
fn filled(path: &Path, len: usize, sync: Sync) -> Result<File> {
    let plain = create(path, Sync::Data)?;
    let zeros = vec![0; 1 << 20];
    for offset in (0..len).step_by(zeros.len()) {
        plain.write_all_at(&zeros, offset as u64).map_err(text)?;
    }
    plain.sync_all().map_err(text)?;
    create(path, sync)
}

fn flush(file: &File, sync: Sync) -> Result<()> {
    if sync == Sync::Data { rustix::fs::fdatasync(file).map_err(|e| e.to_string()) } else { Ok(()) }
}

/// Calls `step` for the time of a run; answers how often and how long.
fn repeat(run: Duration, mut step: impl FnMut(u64) -> Result<()>) -> Result<(u64, Duration)> {
    let start = Instant::now();
    let mut turns = 0;
    while start.elapsed() < run {
        step(turns)?;
        turns += 1;
    }
    Ok((turns, start.elapsed()))
}

fn row(name: String, shape: Shape, (turns, took): (u64, Duration)) -> Row {
    Row { name, shape, messages: turns * (shape.streams * shape.outstanding) as u64, turns, took }
}

/// Appends `outstanding` records to one file and syncs it, again and again.
pub(super) fn append(folder: &Path, outstanding: usize, run: Duration) -> Result<Row> {
    let file = create(&folder.join("append"), Sync::Data)?;
    let bytes = vec![0x5a; outstanding * RECORD];
    let done = repeat(run, |turn| {
        file.write_all_at(&bytes, turn * bytes.len() as u64).map_err(text)?;
        flush(&file, Sync::Data)
    })?;
    Ok(row("append + fdatasync".into(), Shape { streams: 1, outstanding }, done))
}

/// Many files, each appended to and synced, by several threads that share the files out.
pub(super) fn append_many(
    folder: &Path,
    streams: usize,
    threads: usize,
    outstanding: usize,
    run: Duration,
) -> Result<Row> {
    let one = |thread: usize| -> Result<(u64, Duration)> {
        let files = (thread..streams)
            .step_by(threads)
            .map(|n| create(&folder.join(format!("many-{n}")), Sync::Data))
            .collect::<Result<Vec<_>>>()?;
        let bytes = vec![0x5a; outstanding * RECORD];
        repeat(run, |turn| {
            let (lap, n) = (turn / files.len() as u64, turn % files.len() as u64);
            let file = &files[usize::try_from(n).unwrap_or(0)];
            file.write_all_at(&bytes, lap * bytes.len() as u64).map_err(text)?;
            flush(file, Sync::Data)
        })
    };
    let results = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || one(thread))).collect();
        running
            .into_iter()
            .map(|t| t.join().unwrap_or(Err("a thread panicked".into())))
            .collect::<Result<Vec<_>>>()
    })?;
    let syncs: u64 = results.iter().map(|r| r.0).sum();
    let took = results.iter().map(|r| r.1).max().unwrap_or_default();
    let name = format!("append + fdatasync per file, {threads} threads");
    let shape = Shape { streams, outstanding };
    Ok(Row { name, shape, messages: syncs * outstanding as u64, turns: syncs, took })
}

/// A preallocated file overwritten from its start to its end and again, `padded` to whole units per turn.
pub(super) fn overwrite(
    folder: &Path,
    outstanding: usize,
    sync: Sync,
    padded: usize,
    run: Duration,
) -> Result<Row> {
    let len = 32 << 20;
    let file = filled(&folder.join("journal"), len, sync)?;
    let frame = Aligned::new((outstanding * RECORD).next_multiple_of(padded));
    let mut offset = 0;
    let done = repeat(run, |_| {
        if offset + frame.len > len {
            offset = 0;
        }
        file.write_all_at(frame.get(), offset as u64).map_err(text)?;
        offset += frame.len;
        flush(&file, sync)
    })?;
    let how = match sync {
        Sync::Data => "fdatasync",
        Sync::Open => "O_DSYNC",
        Sync::Direct => "O_DSYNC and O_DIRECT",
    };
    Ok(row(format!("overwrite, {how}, padded to {padded}"), Shape { streams: 1, outstanding }, done))
}

/// A shared journal, synced, and block files, written and synced only when `segment` bytes of journal are full.
pub(super) fn journal(folder: &Path, shape: Shape, sync: Sync, segment: usize, run: Duration) -> Result<Row> {
    let Shape { streams, outstanding } = shape;
    let segments = (0..2)
        .map(|n| filled(&folder.join(format!("segment-{n}")), segment, sync))
        .collect::<Result<Vec<_>>>()?;
    let blocks: Vec<PathBuf> = (0..streams).map(|n| folder.join(format!("block-{n}"))).collect();
    let files = blocks.iter().map(|path| create(path, Sync::Data)).collect::<Result<Vec<_>>>()?;
    let frame =
        Aligned::new((streams * outstanding * (RECORD + 24 / outstanding) + 48).next_multiple_of(512));
    let block = vec![0x5a; outstanding * RECORD];
    let (mut offset, mut current) = (0, 0);
    let mut checkpoint = None;
    let done = repeat(run, |turn| {
        for file in &files {
            file.write_all_at(&block, turn * block.len() as u64).map_err(text)?;
        }
        if offset + frame.len > segment {
            (offset, current) = (0, 1 - current);
            join(checkpoint.take())?;
            let again =
                files.iter().map(File::try_clone).collect::<std::io::Result<Vec<_>>>().map_err(text)?;
            checkpoint =
                Some(std::thread::spawn(move || again.iter().try_for_each(|file| flush(file, Sync::Data))));
        }
        segments[current].write_all_at(frame.get(), offset as u64).map_err(text)?;
        offset += frame.len;
        flush(&segments[current], sync)
    })?;
    join(checkpoint)?;
    let how = match sync {
        Sync::Data => "fdatasync",
        Sync::Open => "O_DSYNC",
        Sync::Direct => "O_DSYNC and O_DIRECT",
    };
    Ok(row(format!("journal of {} MiB, {how}, blocks unsynced", segment >> 20), shape, done))
}

fn join(running: Option<std::thread::JoinHandle<Result<()>>>) -> Result<()> {
    running.map_or(Ok(()), |t| t.join().unwrap_or(Err("a checkpoint panicked".into())))
}
