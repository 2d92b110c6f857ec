//! Our store over a disk that forgets what was not synced; the power is cut, and the files that are left are opened.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use midge_disk::{Disk, Settings};
use midge_sim::disk::{Odds, SimFiles};
use midge_sim::draw::Draw;
use midge_stdx::entropy::{Entropy, Seeded};
use midge_store::journal::PlainRecords;
use midge_store::port::{Files, Mode};

use crate::go::Reference;
use crate::ours::Ours;
use crate::{Case, History, Snapshot};

/// Copies a folder of real files into files that forget, all of it synced.
fn load(files: &SimFiles, from: &Path, to: &str) -> Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if to.is_empty() { name } else { format!("{to}/{name}") };
        if entry.file_type()?.is_dir() {
            files.create_folder(&path)?;
            load(files, &entry.path(), &path)?;
            continue;
        }
        let file = files.open(&path, Mode::Create)?;
        files.write_at(file, 0, &std::fs::read(entry.path())?)?;
        files.sync(file)?;
        files.close(file);
    }
    files.sync_folder(to)?;
    Ok(())
}

/// Copies what is left to real files.
fn save(files: &SimFiles, from: &str, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in files.list(from)? {
        let path = if from.is_empty() { entry.name.clone() } else { format!("{from}/{}", entry.name) };
        if entry.folder {
            save(files, &path, &to.join(&entry.name))?;
        } else {
            std::fs::write(to.join(&entry.name), files.peek(&path).context("it was just listed")?)?;
        }
    }
    Ok(())
}

/// What is in the directory is taken on by a store whose power is cut when everything is acknowledged. What is left is opened by us and has everything; or it
/// is opened by the Go server first, which may miss what it does not know of, and shows nothing that never was; `before` is what is there from then on.
pub(crate) async fn cut(
    case: &Case,
    reference: &Path,
    dir: &Path,
    draw: &mut Seeded,
    (before, history): (&mut Snapshot, &mut History),
) -> Result<usize> {
    let root = dir.join("store/jetstream");
    let files = Arc::new(SimFiles::new(Draw::new(case.seed)));
    load(&files, &root, "")?;
    let nobody = Arc::new(Vec::new);
    let (disk, _) = Disk::over(&root, files.clone(), nobody, Settings::default(), &PlainRecords)?;
    let mut ours = Ours::over(disk, case).context("over a disk that forgets")?;
    let mut compared = before.compare(&ours.snapshot()?).context("over a disk that forgets")?;
    ours.work(draw, 80, history)?;
    let acknowledged = ours.snapshot()?;
    // Another call goes with the power, so that nothing is synced after this.
    files.crash_after(Some(0));
    let _ = files.create_folder("cut");
    drop(ours);
    let kept = |draw: &mut Seeded| [0, 30, 70, 100][draw.below(4) as usize];
    files.power_cut(Odds { sectors: kept(draw), lengths: kept(draw), names: kept(draw) });
    std::fs::remove_dir_all(&root)?;
    save(&files, "", &root)?;
    *before = acknowledged;
    // The Go server removes a stream of which it cannot decipher or decompress a block, so whoever cares starts midge first.
    if case.cipher.is_none() && !case.compression && draw.below(2) == 0 {
        let go = Reference::start(reference, dir, case).await?;
        let found = go.snapshot().await.with_context(|| go.server.stderr())?;
        for (seq, stored) in &found.stored {
            let (shown, known) = (
                (&stored.subject, &stored.headers, &stored.payload),
                history.get(seq).context("never stored")?,
            );
            ensure!(
                shown == (&known.0, &known.1, &known.2),
                "the Go server has {seq}: {shown:?} rather than {known:?}"
            );
        }
        compared += found.stored.len();
        go.end(true).await?;
        // A server that changed nothing leaves the journal in force.
        if found.compare(&Ours::open(dir, case)?.snapshot()?).is_ok() {
            *before = found;
        }
    }
    let mut ours = Ours::open(dir, case).context("after the power was cut")?;
    compared += before.compare(&ours.snapshot()?).context("after the power was cut")?;
    ours.end(true)?;
    Ok(compared)
}
