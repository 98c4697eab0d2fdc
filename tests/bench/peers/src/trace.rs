//! A recorded editing session ("CTRACE 1", uncompressed): txns with their parents, each a slice of
//! patches.  Only ASCII: there every library counts characters alike.

pub struct Patch {
    pub pos: usize,
    pub removed: usize,
    pub text: String,
}

pub struct Txn {
    pub agent: usize,
    pub parents: Vec<usize>,
    pub patches: Vec<Patch>,
}

pub struct Trace {
    pub linear: bool,
    pub agents: usize,
    pub txns: Vec<Txn>,
    /// Length of the final text, and the text itself where the trace spells it.
    pub final_len: usize,
    pub final_text: Option<String>,
}

fn unescape(text: &str) -> Result<String, String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digits = [bytes.next().unwrap_or(0), bytes.next().unwrap_or(0)];
        let hex = std::str::from_utf8(&digits).map_err(|e| e.to_string())?;
        out.push(u8::from_str_radix(hex, 16).map_err(|e| e.to_string())?);
    }
    if !out.is_ascii() {
        return Err("not ASCII: the libraries count such characters differently".into());
    }
    String::from_utf8(out).map_err(|e| e.to_string())
}

fn number(text: Option<&str>) -> Result<usize, String> {
    text.ok_or("a field is missing")?.parse().map_err(|_| "not a number".to_string())
}

fn patch(field: &str) -> Result<Patch, String> {
    let mut parts = field.splitn(3, ',');
    Ok(Patch {
        pos: number(parts.next())?,
        removed: number(parts.next())?,
        text: unescape(parts.next().ok_or("a patch without text")?)?,
    })
}

/// "-" none, "." the line before, else a list.
fn parents(field: &str, at: usize) -> Result<Vec<usize>, String> {
    match field {
        "-" => Ok(vec![]),
        "." => Ok(at.checked_sub(1).into_iter().collect()),
        list => list.split(',').map(|p| number(Some(p))).collect(),
    }
}

fn txn(mut fields: std::str::Split<char>, at: usize) -> Result<Txn, String> {
    let agent = number(fields.next())?;
    let parents = parents(fields.next().ok_or("a txn without parents")?, at)?;
    if parents.iter().any(|&p| p >= at) {
        return Err("a parent that comes later".into());
    }
    let patches = fields.map(patch).collect::<Result<_, _>>()?;
    Ok(Txn { agent, parents, patches })
}

impl Trace {
    pub fn parse(source: &str) -> Result<Trace, String> {
        let mut trace =
            Trace { linear: false, agents: 0, txns: vec![], final_len: 0, final_text: None };
        for line in source.lines() {
            let mut fields = line.split(' ');
            match fields.next() {
                Some("R") if trace.agents > 0 => return Err("more than one record".into()),
                Some("R") => {
                    trace.linear = fields.nth(1) == Some("S");
                    trace.agents = number(fields.next())?;
                }
                Some("T") => trace.txns.push(txn(fields, trace.txns.len())?),
                Some("F") => trace.final_len = number(fields.next())?,
                Some("E") => trace.final_text = Some(unescape(fields.next().unwrap_or(""))?),
                _ => {}
            }
        }
        match trace.txns.iter().all(|t| t.agent < trace.agents) {
            true if !trace.txns.is_empty() => Ok(trace),
            _ => Err("no txns, or an unknown agent".into()),
        }
    }

    pub fn is_final(&self, text: &str) -> bool {
        match &self.final_text {
            Some(wanted) => text == wanted,
            None => text.len() == self.final_len,
        }
    }
}
