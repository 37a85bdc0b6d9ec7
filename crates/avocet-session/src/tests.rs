//! Session scripts: inputs and the exact list of what comes out.
