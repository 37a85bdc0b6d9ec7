//! Where in the order of topics the next match of a filter can be.
//!
//! The order is that of the bytes. All topics below `a/b` begin with `a/b/`, so they lie together;
//! `a/b` itself lies before them, and others such as `a/b!` in between.

/// What to do after looking at a topic.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It matches.
    Match,
    /// It does not; the next may.
    Next,
    /// It does not, nor does any before this place.
    Leap(String),
    /// It does not, nor does any behind it.
    End,
}

/// The character after the separator: where the topics below a level end.
const BEHIND: char = '0';
/// The character after `$`.
const BEHIND_DOLLAR: &str = "%";

/// The first place where a match can be: what stands before the first wildcard.
pub(super) fn first(filter: &str) -> Box<str> {
    let literal = filter.split_once(['+', '#']).map_or(filter, |(before, _)| before);
    // `a/#` matches `a`.
    match filter.strip_suffix("/#") {
        Some(parent) if parent.len() < literal.len() => parent.into(),
        Some(_) | None => literal.into(),
    }
}

/// Whether a topic matches.
pub(super) fn is_match(filter: &str, topic: &str) -> bool {
    // [MQTT3-4.7.2-1] [MQTT5-4.7.2-1]
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut levels = topic.split('/');
    for want in filter.split('/') {
        match (want, levels.next()) {
            ("#", _) => return true,
            (want, Some(level)) if want == "+" || want == level => {}
            (_, Some(_) | None) => return false,
        }
    }
    levels.next().is_none()
}

/// Compares level by level. `topic` lies not before [`first`].
pub(super) fn step(filter: &str, topic: &str) -> Step {
    // [MQTT3-4.7.2-1] [MQTT5-4.7.2-1]
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return Step::Leap(BEHIND_DOLLAR.to_owned());
    }
    // Where the level at hand begins.
    let mut start = 0;
    let mut wanted = filter.split('/');
    let mut levels = topic.split('/');
    let mut plus = false;
    loop {
        match (wanted.next(), levels.next()) {
            (Some("#"), _) | (None, None) => return Step::Match,
            (Some(want), Some(level)) if want == "+" || want == level => {
                plus = want == "+";
                start += level.len() + 1;
            }
            (Some(want), Some(_)) => return mismatch(topic, start, want, wanted.next()),
            // The topic ends where the filter goes on. Between `a` and `a/` lie siblings such as
            // `a!/b`, which a `+` wants too.
            (Some(_), None) if plus => return Step::Next,
            (Some(want), None) => {
                let literal = if want == "+" { "" } else { want };
                return Step::Leap(format!("{topic}/{literal}"));
            }
            // The filter ends where the topic goes on.
            (None, Some(_)) => return behind_parent(topic, start),
        }
    }
}

/// The level that begins at `start` is not the literal `want`, which the filter has there.
fn mismatch(topic: &str, start: usize, want: &str, after: Option<&str>) -> Step {
    let (parent, rest) = topic.split_at(start);
    // The level itself is asked for if the filter ends there, or in `/#`.
    if matches!(after, None | Some("#")) && want > rest {
        return Step::Leap(format!("{parent}{want}"));
    }
    let below = format!("{want}/");
    if after.is_some() && below.as_str() > rest {
        return Step::Leap(format!("{parent}{below}"));
    }
    behind_parent(topic, start)
}

/// Nothing more below the parent of the level that begins at `start`.
fn behind_parent(topic: &str, start: usize) -> Step {
    match start.checked_sub(1) {
        Some(end) => Step::Leap(format!("{}{BEHIND}", &topic[..end])),
        None => Step::End,
    }
}
