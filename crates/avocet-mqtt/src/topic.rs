//! The rules of topic names and topic filters (section 4.7).
