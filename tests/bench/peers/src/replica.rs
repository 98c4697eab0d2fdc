//! What the works ask of a library, and each library's way of doing it.
use crate::trace::Patch;

pub trait Replica: Sized {
    /// Names for `save` and `open`: everything with its history, as little as the library can
    /// open again, and what a replica that has nothing is sent to merge.
    const FULL: &'static str;
    const STATE: &'static str;
    const MERGE: &'static str;

    fn new(id: u64) -> Self;
    /// One edit, as an application makes it: a transaction of its own.
    fn edit(&mut self, patch: &Patch);
    /// Several edits as one message for the others.
    fn message(&mut self, patches: &[Patch]) -> Vec<u8>;
    fn receive(&mut self, messages: &[Vec<u8>]);
    fn text(&self) -> String;
    fn save(&mut self, format: &str) -> Vec<u8>;
    fn open(format: &str, bytes: &[u8]) -> Self;
    /// Sets one key of a map; the message for the others.
    fn set_key(&mut self, value: i64) -> Option<Vec<u8>>;
}

pub mod diamond {
    use super::*;
    use diamond_types::list::encoding::{ENCODE_FULL, ENCODE_PATCH};
    use diamond_types::list::ListCRDT;

    pub struct Doc {
        list: ListCRDT,
        agent: diamond_types::AgentId,
    }

    impl Replica for Doc {
        const FULL: &'static str = "oplog";
        const STATE: &'static str = "oplog";
        const MERGE: &'static str = "oplog";

        fn new(id: u64) -> Self {
            let mut list = ListCRDT::new();
            let agent = list.get_or_create_agent_id(&format!("agent{id:05}"));
            Doc { list, agent }
        }
        fn edit(&mut self, patch: &Patch) {
            if patch.removed > 0 {
                self.list.delete_without_content(self.agent, patch.pos..patch.pos + patch.removed);
            }
            if !patch.text.is_empty() {
                self.list.insert(self.agent, patch.pos, &patch.text);
            }
        }
        fn message(&mut self, patches: &[Patch]) -> Vec<u8> {
            let before = self.list.oplog.local_version();
            patches.iter().for_each(|p| self.edit(p));
            self.list.oplog.encode_from(ENCODE_PATCH, &before)
        }
        fn receive(&mut self, messages: &[Vec<u8>]) {
            for message in messages {
                self.list.merge_data_and_ff(message).expect("diamond-types refuses a message");
            }
        }
        fn text(&self) -> String {
            self.list.branch.content().to_string()
        }
        fn save(&mut self, _: &str) -> Vec<u8> {
            self.list.oplog.encode(ENCODE_FULL)
        }
        fn open(_: &str, bytes: &[u8]) -> Self {
            let mut list = ListCRDT::load_from(bytes).expect("diamond-types refuses its file");
            let agent = list.get_or_create_agent_id("opener");
            Doc { list, agent }
        }
        fn set_key(&mut self, _: i64) -> Option<Vec<u8>> {
            None // text alone
        }
    }
}

pub mod yjs {
    use super::*;
    use yrs::updates::decoder::Decode;
    use yrs::{
        ClientID, Doc as YDoc, GetString, Map, Options, ReadTxn, StateVector, Text, TextRef,
        Transact, TransactionMut, Update,
    };

    pub struct Doc {
        doc: YDoc,
        text: TextRef,
    }

    fn splice(text: &TextRef, tx: &mut TransactionMut, patch: &Patch) {
        if patch.removed > 0 {
            text.remove_range(tx, patch.pos as u32, patch.removed as u32);
        }
        if !patch.text.is_empty() {
            text.insert(tx, patch.pos as u32, &patch.text);
        }
    }

    impl Replica for Doc {
        const FULL: &'static str = "v2"; // deleted text is not in it: yrs has no full history
        const STATE: &'static str = "v2";
        const MERGE: &'static str = "v2";

        fn new(id: u64) -> Self {
            let doc = YDoc::with_options(Options::with_client_id(ClientID::new(id + 1)));
            let text = doc.get_or_insert_text("text");
            Doc { doc, text }
        }
        fn edit(&mut self, patch: &Patch) {
            splice(&self.text, &mut self.doc.transact_mut(), patch);
        }
        fn message(&mut self, patches: &[Patch]) -> Vec<u8> {
            let mut tx = self.doc.transact_mut();
            patches.iter().for_each(|p| splice(&self.text, &mut tx, p));
            tx.encode_update_v1()
        }
        fn receive(&mut self, messages: &[Vec<u8>]) {
            let mut tx = self.doc.transact_mut();
            for message in messages {
                let update = Update::decode_v1(message).expect("yrs cannot read a message");
                tx.apply_update(update).expect("yrs refuses a message");
            }
        }
        fn text(&self) -> String {
            self.text.get_string(&self.doc.transact())
        }
        fn save(&mut self, _: &str) -> Vec<u8> {
            self.doc.transact().encode_state_as_update_v2(&StateVector::default())
        }
        fn open(_: &str, bytes: &[u8]) -> Self {
            let doc = Self::new(1 << 40);
            let update = Update::decode_v2(bytes).expect("yrs cannot read its file");
            doc.doc.transact_mut().apply_update(update).expect("yrs refuses its file");
            doc
        }
        fn set_key(&mut self, value: i64) -> Option<Vec<u8>> {
            let map = self.doc.get_or_insert_map("map");
            let mut tx = self.doc.transact_mut();
            map.insert(&mut tx, "key", value);
            Some(tx.encode_update_v1())
        }
    }
}

pub mod loro {
    use super::*;
    use ::loro::{ExportMode, LoroDoc, LoroText};

    pub struct Doc {
        doc: LoroDoc,
        text: LoroText,
    }

    impl Doc {
        fn splice(&self, patch: &Patch) {
            if patch.removed > 0 {
                self.text.delete(patch.pos, patch.removed).expect("loro refuses a delete");
            }
            if !patch.text.is_empty() {
                self.text.insert(patch.pos, &patch.text).expect("loro refuses an insert");
            }
        }
    }

    impl Replica for Doc {
        const FULL: &'static str = "snapshot";
        const STATE: &'static str = "shallow";
        const MERGE: &'static str = "updates";

        fn new(id: u64) -> Self {
            let doc = LoroDoc::new();
            doc.set_peer_id(id).expect("loro refuses a peer id");
            let text = doc.get_text("text");
            Doc { doc, text }
        }
        fn edit(&mut self, patch: &Patch) {
            self.splice(patch);
            self.doc.commit();
        }
        fn message(&mut self, patches: &[Patch]) -> Vec<u8> {
            let before = self.doc.oplog_vv();
            patches.iter().for_each(|p| self.splice(p));
            self.doc.commit();
            self.doc.export(ExportMode::updates(&before)).expect("loro exports")
        }
        fn receive(&mut self, messages: &[Vec<u8>]) {
            match messages {
                [one] => self.doc.import(one),
                many => self.doc.import_batch(many),
            }
            .expect("loro refuses a message");
        }
        fn text(&self) -> String {
            self.text.to_string()
        }
        fn save(&mut self, format: &str) -> Vec<u8> {
            let heads = self.doc.oplog_frontiers();
            match format {
                "updates" => self.doc.export(ExportMode::all_updates()),
                "shallow" => self.doc.export(ExportMode::shallow_snapshot(&heads)),
                _ => self.doc.export(ExportMode::Snapshot),
            }
            .expect("loro exports")
        }
        fn open(_: &str, bytes: &[u8]) -> Self {
            let doc = Self::new(1 << 40);
            doc.doc.import(bytes).expect("loro refuses its file");
            doc
        }
        fn set_key(&mut self, value: i64) -> Option<Vec<u8>> {
            let before = self.doc.oplog_vv();
            self.doc.get_map("map").insert("key", value).expect("loro sets a key");
            self.doc.commit();
            Some(self.doc.export(ExportMode::updates(&before)).expect("loro exports"))
        }
    }
}

pub mod automerge {
    use super::*;
    use ::automerge::transaction::Transactable;
    use ::automerge::{ActorId, AutoCommit, Change, ObjId, ObjType, ReadDoc, ROOT};
    use std::sync::OnceLock;

    pub struct Doc {
        doc: AutoCommit,
        text: ObjId,
    }

    /// All replicas must share the change that makes the text.
    fn seed() -> &'static [u8] {
        static SEED: OnceLock<Vec<u8>> = OnceLock::new();
        SEED.get_or_init(|| {
            let mut doc = AutoCommit::new().with_actor(ActorId::from(&[0u8; 8][..]));
            doc.put_object(ROOT, "text", ObjType::Text).expect("automerge makes a text");
            doc.save()
        })
    }

    fn opened(bytes: &[u8], id: u64) -> Doc {
        let mut doc = AutoCommit::load(bytes).expect("automerge refuses its file");
        doc.set_actor(ActorId::from(&(id + 1).to_be_bytes()[..]));
        let text = doc.get(ROOT, "text").expect("automerge looks up").expect("the text").1;
        Doc { doc, text }
    }

    impl Doc {
        fn splice(&mut self, patch: &Patch) {
            self.doc
                .splice_text(&self.text, patch.pos, patch.removed as isize, &patch.text)
                .expect("automerge refuses an edit");
        }
        fn last_change(&mut self) -> Vec<u8> {
            self.doc.commit();
            self.doc.get_last_local_change().expect("a change").raw_bytes().to_vec()
        }
    }

    impl Replica for Doc {
        const FULL: &'static str = "save";
        const STATE: &'static str = "save";
        const MERGE: &'static str = "save";

        fn new(id: u64) -> Self {
            opened(seed(), id)
        }
        fn edit(&mut self, patch: &Patch) {
            self.splice(patch);
            self.doc.commit();
        }
        fn message(&mut self, patches: &[Patch]) -> Vec<u8> {
            patches.iter().for_each(|p| self.splice(p));
            self.last_change()
        }
        fn receive(&mut self, messages: &[Vec<u8>]) {
            let changes = messages
                .iter()
                .map(|m| Change::from_bytes(m.clone()).expect("automerge cannot read a message"))
                .collect::<Vec<_>>();
            self.doc.apply_changes(changes).expect("automerge refuses a message");
        }
        fn text(&self) -> String {
            self.doc.text(&self.text).expect("automerge reads a text")
        }
        fn save(&mut self, _: &str) -> Vec<u8> {
            self.doc.save()
        }
        fn open(_: &str, bytes: &[u8]) -> Self {
            opened(bytes, 1 << 40)
        }
        fn set_key(&mut self, value: i64) -> Option<Vec<u8>> {
            self.doc.put(ROOT, "key", value).expect("automerge sets a key");
            Some(self.last_change())
        }
    }
}
