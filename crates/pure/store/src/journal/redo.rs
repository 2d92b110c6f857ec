//! A lane that failed catches up with the journal.
//!
//! A frame is on stable storage before what it says is carried out. When that fails in its midst, a replay would do what the files do not show: what
//! comes later must not meet half of it, and the segment must not be freed. So it is done, from the journal, before either.

use super::TRASH;
use super::apply::{self, Touched};
use super::committer::Committer;
use super::image::Image;
use crate::port::DiskError;

impl Committer {
    /// Does what the journal holds of the lane and was given up. A failure leaves it for another time.
    pub(super) fn redo(&mut self, lane: usize) -> Result<(), DiskError> {
        if !self.lanes[lane].undone {
            return Ok(());
        }
        let found = self.read_back()?;
        let image = Image::build(&found.usable);
        let folder = self.lanes[lane].folder.clone();
        let mut ids: Vec<_> = self.lanes[lane].files.values().copied().collect();
        ids.sort_unstable();
        ids.iter().for_each(|id| self.close_file(*id));
        if let Some(told) = image.lanes.get(&folder) {
            let mut touched = Touched::default();
            for trash in &told.trash {
                let target = format!("{TRASH}/{}", trash.number);
                if apply::is_left(&*self.files, &folder, trash)? {
                    apply::trash(&*self.files, &folder, trash, &mut touched)?;
                } else if !apply::exists(&*self.files, &target)? {
                    // What gets the name next is not to follow it.
                    self.files.create_folder(&target)?;
                    self.files.sync_folder(TRASH)?;
                }
            }
            if apply::exists(&*self.files, &folder)? {
                apply::apply(&*self.files, &folder, told, false, &mut touched)?;
                apply::sync(&*self.files, &mut touched)?;
            }
        }
        for id in ids {
            let state = self.table.get_mut(id);
            // The next one that opens it looks at its end.
            (state.pending, state.named, state.whole, state.end) = (false, false, true, 0);
        }
        self.forget_late(lane);
        let state = &mut self.lanes[lane];
        (state.undone, state.index) = (false, None);
        Ok(())
    }
}
