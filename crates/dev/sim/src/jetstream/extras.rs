//! Streams beside the others: a counter, and one with schedules. Nothing else is done to them, so that what they hold follows from what was sent.

use midge_stdx::gotime;

use super::json::{Json, base64};
use super::tamper::Break;
use super::world::{Ask, Result, Trouble, World};
use crate::draw::Draw;

/// How late a scheduled message may be: one that was refused is tried again after two seconds, and a full disk looked at every five.
const LATE_NS: u64 = 8_000_000_000;
/// Increments of one subject. Each has a digit of its own in the sum, which tells how often it was counted.
const DIGITS: u32 = 60;
/// Subjects of the counter.
const SUBJECTS: usize = 2;

/// What became of something that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Unknown,
    Acked,
    /// It is not there, and will not be.
    Absent,
}

#[derive(Clone, Debug)]
struct Schedule {
    subject: usize,
    due: u64,
    fate: Fate,
    /// Something was sent since that takes its place.
    replaced: bool,
    /// Its message was seen.
    fired: bool,
}

/// What was sent, by number, to which of the streams.
#[derive(Clone, Copy, Debug)]
pub(super) enum Extra {
    /// An increment: subject and digit.
    Count(usize, u32),
    /// A schedule.
    Schedule(usize),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Extras {
    draw: Draw,
    counts: bool,
    schedules: bool,
    counter_exists: bool,
    scheduler_exists: bool,
    increments: Vec<Vec<Fate>>,
    all: Vec<Schedule>,
}

impl Extras {
    pub(super) fn new(mut draw: Draw) -> Extras {
        let (counts, schedules) = (draw.percent(25), draw.percent(25));
        Extras {
            draw,
            counts,
            schedules,
            counter_exists: false,
            scheduler_exists: false,
            increments: vec![Vec::new(); SUBJECTS],
            all: Vec::new(),
        }
    }
}

fn wrong<T>(text: String) -> Result<T> {
    Err(Trouble::Wrong(text))
}

/// How often an increment is in a sum.
fn digit(sum: u128, at: u32) -> u128 {
    (sum >> (2 * at)) & 3
}

fn sum_of(text: &str) -> Result<u128> {
    text.parse().map_err(|_| Trouble::Wrong(format!("{text:?} is the value of a counter")))
}

impl World {
    /// Both streams are there.
    pub(super) fn ensure_extras(&mut self) -> Result {
        if self.extras.counts && !self.extras.counter_exists {
            let config = r#"{"name":"k0","subjects":["k0.*"],"storage":"file","allow_msg_counter":true}"#;
            self.demand("$JS.API.STREAM.CREATE.k0", config)?;
            self.extras.counter_exists = true;
        }
        if self.extras.schedules && !self.extras.scheduler_exists {
            let config = r#"{"name":"t0","subjects":["t0.>"],"storage":"file","allow_msg_schedules":true,"allow_rollup_hdrs":true}"#;
            self.demand("$JS.API.STREAM.CREATE.t0", config)?;
            self.extras.scheduler_exists = true;
        }
        Ok(())
    }

    /// Something is sent to one of them, or not.
    pub(super) fn act_extra(&mut self) -> Result {
        if self.extras.counter_exists && self.extras.draw.percent(30) {
            self.count()?;
        }
        if self.extras.scheduler_exists && self.extras.draw.percent(15) {
            self.schedule()?;
        }
        Ok(())
    }

    fn count(&mut self) -> Result {
        let subject = self.extras.draw.below(SUBJECTS);
        let at = self.extras.increments[subject].len() as u32;
        if at >= DIGITS {
            return Ok(());
        }
        self.extras.increments[subject].push(Fate::Unknown);
        let by = if self.broken == Some(Break::LoseIncrement) && at == 3 { 0 } else { 1u128 << (2 * at) };
        let header = format!("NATS/1.0\r\nNats-Incr: {by}\r\n\r\n");
        let to = format!("k0.{subject}");
        self.saw("increments");
        if self.broken == Some(Break::CountTwice) && at == 3 {
            self.send(&to, &header, b"", Ask::Nothing)?;
        }
        self.send(&to, &header, b"", Ask::Extra(Extra::Count(subject, at))).map(|_| ())
    }

    fn schedule(&mut self) -> Result {
        let subject = self.extras.draw.below(3);
        for other in self.extras.all.iter_mut().filter(|other| other.subject == subject) {
            other.replaced = true;
        }
        let id = self.extras.all.len();
        let due = self.now + self.extras.draw.between(0, 12) as u64 * 500_000_000;
        let schedule = Schedule { subject, due, fate: Fate::Unknown, replaced: false, fired: false };
        self.extras.all.push(schedule);
        let said = if self.broken == Some(Break::ForgetSchedule) { due + 3_600_000_000_000 } else { due };
        let at = gotime::rfc3339(super::world::time(said).wall);
        let header = format!(
            "NATS/1.0\r\nNats-Schedule: @at {at}\r\nNats-Schedule-Target: t0.to.{id}\r\nNats-Msg-Id: {id}\r\n\r\n"
        );
        self.saw("schedules");
        let body = format!("{id}|scheduled");
        let to = format!("t0.at.{subject}");
        self.send(&to, &header, body.as_bytes(), Ask::Extra(Extra::Schedule(id))).map(|_| ())
    }

    /// A publisher of one of them is answered.
    pub(super) fn extra_answered(&mut self, extra: Extra, answer: &Json) -> Result {
        if answer.get("error").is_some() {
            if self.is_the_disks(answer) {
                return Ok(());
            }
            return wrong(format!("{extra:?} was refused: {:?}", answer.get("error")));
        }
        match extra {
            Extra::Count(subject, at) => {
                let sum = sum_of(answer.get("val").text())?;
                if digit(sum, at) != 1 {
                    return wrong(format!("k0.{subject}: {at} is {} times in {sum}", digit(sum, at)));
                }
                self.check_sum(subject, sum, false)?;
                self.extras.increments[subject][at as usize] = Fate::Acked;
            }
            Extra::Schedule(id) => self.extras.all[id].fate = Fate::Acked,
        }
        Ok(())
    }

    /// What was acknowledged is in the sum, nothing is in it twice; `settled` if what is not in it now never will be.
    fn check_sum(&mut self, subject: usize, sum: u128, settled: bool) -> Result {
        let all = &mut self.extras.increments[subject];
        for (at, fate) in all.iter_mut().enumerate() {
            let times = digit(sum, at as u32);
            let fits = match fate {
                Fate::Acked => times == 1,
                Fate::Absent => times == 0,
                Fate::Unknown => times <= 1,
            };
            if !fits {
                return wrong(format!("k0.{subject}: increment {at}, {fate:?}, is {times} times in {sum}"));
            }
            if settled {
                *fate = if times == 1 { Fate::Acked } else { Fate::Absent };
            }
        }
        if sum >> (2 * all.len()) != 0 {
            return wrong(format!("k0.{subject}: {sum} has more than was sent"));
        }
        Ok(())
    }

    /// Both streams hold what they were sent.
    pub(super) fn verify_extras(&mut self) -> Result {
        self.settle()?;
        if self.extras.counter_exists {
            for subject in 0..SUBJECTS {
                let sum = match self.last_of("k0", &format!("k0.{subject}"))? {
                    Some(body) => sum_of(Json::read(&body).get("val").text())?,
                    None => 0,
                };
                self.check_sum(subject, sum, true)?;
                self.saw("sums of counters");
            }
        }
        if !self.extras.scheduler_exists {
            return Ok(());
        }
        let now = self.now;
        if self.extras.all.iter().any(|s| s.fate == Fate::Acked && !s.fired && !s.replaced && s.due <= now) {
            self.pass(LATE_NS)?;
        }
        for id in 0..self.extras.all.len() {
            self.verify_schedule(id, now)?;
        }
        Ok(())
    }

    /// `asked` is when it was last said that time should pass for what was due.
    fn verify_schedule(&mut self, id: usize, asked: u64) -> Result {
        let found = self.last_of("t0", &format!("t0.to.{id}"))?;
        let schedule = self.extras.all[id].clone();
        let Some(body) = found else {
            let due = schedule.fate == Fate::Acked && !schedule.replaced && schedule.due <= asked;
            return match (schedule.fired, due) {
                (true, _) => wrong(format!("t0: the message of schedule {id} is gone")),
                (_, true) => wrong(format!("t0: schedule {id} was due and did not come")),
                _ => Ok(()),
            };
        };
        if body != format!("{id}|scheduled").into_bytes() {
            return wrong(format!("t0: schedule {id} has another text"));
        }
        if self.now < schedule.due {
            return wrong(format!("t0: schedule {id} came too early"));
        }
        self.extras.all[id].fired = true;
        self.saw("schedules that came");
        Ok(())
    }

    fn last_of(&mut self, stream: &str, subject: &str) -> Result<Option<Vec<u8>>> {
        let body = format!(r#"{{"last_by_subj":"{subject}"}}"#);
        let answer = self.call(&format!("$JS.API.STREAM.MSG.GET.{stream}"), &body)?;
        match answer.get("error").get("err_code").number() {
            10037 => Ok(None),
            0 => Ok(Some(base64(answer.get("message").get("data").text()))),
            _ => wrong(format!("{subject}: {answer:?}")),
        }
    }
}
