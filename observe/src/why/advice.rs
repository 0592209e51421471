//! Advice: what to do about a hang, now and in the program.

use super::{Standing, Why};

/// Sentences, most useful first.
pub(super) fn advice(why: &Why) -> Vec<String> {
    let mut advice = Vec::new();
    let first = why.chain.first();
    let facilities: Vec<&str> = match &why.finding {
        Some(finding) => finding.facilities.clone(),
        None => first.and_then(|link| link.facility).into_iter().collect(),
    };
    match why.standing {
        Standing::Deadlock => {
            let own_pipe = first.is_some_and(|link| {
                matches!(link.facility, Some("pipe" | "fifo"))
                    && link.holders.iter().all(|holder| holder.pid == link.pid)
            });
            if own_pipe {
                let role = first
                    .and_then(|link| link.holders.first())
                    .map(|holder| holder.role.clone())
                    .unwrap_or_default();
                advice.push(format!(
                    "Close the {role} of process {} before it waits: as long as it is open, the other side never sees the end. \
                     Open pipes with O_CLOEXEC.",
                    why.pid
                ));
            }
            if why.chain.len() == 1 && facilities == ["mutex"] {
                advice.push(
                    "It locks a mutex that it already has: unlock it first, or make it recursive."
                        .to_owned(),
                );
            }
            let victim = why.chain.last().map_or(why.pid, |link| link.pid);
            advice.push(format!(
                "To go on now, end one of them, for example: kill {victim}"
            ));
            let locks = [
                "mutex", "rwlock", "flock", "lockf", "ofd", "sem", "sysv-sem",
            ];
            if facilities
                .iter()
                .filter(|facility| locks.contains(facility))
                .count()
                > 0
                && why.chain.len() > 1
            {
                advice.push("To prevent it, take the locks in the same order everywhere, or all at once, or with a time limit.".to_owned());
            }
            if facilities
                .iter()
                .any(|facility| matches!(*facility, "pipe" | "unix" | "tcp" | "fifo" | "mq"))
                && why.chain.len() > 1
            {
                advice.push("To prevent it, read while you write: with poll, a second thread, or non-blocking descriptors.".to_owned());
            }
        }
        Standing::DeadEnd => {
            let text = first.map(|link| link.why.as_str()).unwrap_or_default();
            if text.contains("at fork()") {
                advice.push(
                    "Between fork() and exec() use async-signal-safe functions only; posix_spawn() does that. \
                     pthread_atfork() can take the lock around the fork."
                        .to_owned(),
                );
            } else if text.contains("has ended") {
                advice.push(
                    "Use a robust mutex: it tells the next one that its owner has died.".to_owned(),
                );
            }
            advice.push(format!("To go on now, end it: kill {}", why.pid));
        }
        Standing::Blocked => match why.finding.as_ref().map(|finding| finding.verdict) {
            Some(crate::graph::Verdict::Stopped) => {
                for link in why
                    .chain
                    .iter()
                    .filter(|link| matches!(link.facility, Some("stop" | "freezer")))
                {
                    advice.push(resume(link.pid, link.facility == Some("freezer")));
                }
            }
            Some(verdict) => {
                let finding = why.finding.as_ref();
                let core = finding.and_then(|finding| finding.core.first());
                let what = verdict.word().replace('_', " ");
                advice.extend(core.map(|core| {
                        format!("It is not in the {what} itself: wigwag why {core} says what to do about that.")
                    }));
            }
            None => {
                for root in why.roots().filter(|root| !root.start).take(2) {
                    advice.push(format!("The root is {}: see what keeps that.", root.name()));
                }
            }
        },
        Standing::Stopped | Standing::Frozen => {
            advice.push(resume(why.pid, why.standing == Standing::Frozen))
        }
        Standing::Unknown => {
            advice.push("Run this as root, or as the user of the process.".to_owned())
        }
        Standing::WaitingForInput | Standing::Sleeping | Standing::Running => {}
    }
    advice.dedup();
    advice
}

fn resume(pid: u32, frozen: bool) -> String {
    if frozen {
        format!("Thaw its control group (see /proc/{pid}/cgroup): echo 0 > cgroup.freeze")
    } else {
        format!("Let it go on: kill -CONT {pid}")
    }
}
