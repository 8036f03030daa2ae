-- A registry as polyrank wrote it at schema 0001: two committed rounds with summaries, a rejected update,
-- evaluations, aliases that moved and went back, evidence and decisions, a second line, an open round.
-- The past does not change: nor does this file. Newer migrations are proved on it.
BEGIN TRANSACTION;
CREATE TABLE adapters (
	id INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	base_model_id INTEGER NOT NULL, 
	tags TEXT NOT NULL, 
	head INTEGER, 
	next_number INTEGER NOT NULL, 
	created_at DATETIME NOT NULL, 
	retired_at DATETIME, 
	CONSTRAINT pk_adapters PRIMARY KEY (id), 
	CONSTRAINT fk_adapters_base_model_id FOREIGN KEY(base_model_id) REFERENCES base_models (id), 
	CONSTRAINT uq_adapters_name UNIQUE (name)
);
INSERT INTO "adapters" VALUES(1,'support/en',1,'{}',2,3,'2026-11-22 07:54:01.500611',NULL);
INSERT INTO "adapters" VALUES(2,'support/de',1,'{"team":"nlp"}',1,2,'2026-11-22 07:54:01.709328',NULL);
CREATE TABLE alias_log (
	sequence INTEGER NOT NULL, 
	adapter_id INTEGER NOT NULL, 
	alias TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	number INTEGER NOT NULL, 
	previous INTEGER, 
	back_to INTEGER, 
	reason TEXT NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT pk_alias_log PRIMARY KEY (sequence), 
	CONSTRAINT ck_alias_log_kind CHECK (kind IN ('set', 'rollback')), 
	CONSTRAINT fk_alias_log_adapter_id_number FOREIGN KEY(adapter_id, number) REFERENCES versions (adapter_id, number), 
	CONSTRAINT fk_alias_log_adapter_id FOREIGN KEY(adapter_id) REFERENCES adapters (id), 
	CONSTRAINT fk_alias_log_back_to FOREIGN KEY(back_to) REFERENCES alias_log (sequence)
);
INSERT INTO "alias_log" VALUES(1,1,'stable','set',1,NULL,NULL,'round 1','2026-11-22 07:54:01.580658');
INSERT INTO "alias_log" VALUES(2,1,'stable','set',2,1,1,'round 2','2026-11-22 07:54:01.626894');
INSERT INTO "alias_log" VALUES(3,1,'candidate','set',2,NULL,NULL,'round 2','2026-11-22 07:54:01.629782');
INSERT INTO "alias_log" VALUES(4,1,'stable','rollback',1,2,NULL,'worse on n2','2026-11-22 07:54:01.636735');
CREATE TABLE aliases (
	adapter_id INTEGER NOT NULL, 
	alias TEXT NOT NULL, 
	number INTEGER NOT NULL, 
	reason TEXT NOT NULL, 
	sequence INTEGER NOT NULL, 
	updated_at DATETIME NOT NULL, 
	CONSTRAINT pk_aliases PRIMARY KEY (adapter_id, alias), 
	CONSTRAINT fk_aliases_adapter_id_number FOREIGN KEY(adapter_id, number) REFERENCES versions (adapter_id, number), 
	CONSTRAINT fk_aliases_adapter_id FOREIGN KEY(adapter_id) REFERENCES adapters (id), 
	CONSTRAINT fk_aliases_sequence FOREIGN KEY(sequence) REFERENCES alias_log (sequence), 
	CONSTRAINT uq_aliases_sequence UNIQUE (sequence)
);
INSERT INTO "aliases" VALUES(1,'stable',1,'worse on n2',4,'2026-11-22 07:54:01.636735');
INSERT INTO "aliases" VALUES(1,'candidate',2,'round 2',3,'2026-11-22 07:54:01.629782');
CREATE TABLE base_models (
	id INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	fingerprint TEXT NOT NULL, 
	metadata TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_base_models PRIMARY KEY (id), 
	CONSTRAINT uq_base_models_name UNIQUE (name)
);
INSERT INTO "base_models" VALUES(1,'base','ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','{}','2026-11-22 07:54:01.495944');
CREATE TABLE blobs (
	digest TEXT NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_blobs PRIMARY KEY (digest)
);
INSERT INTO "blobs" VALUES('f6e347bb5b6136f265e396c9119f10853e9c7fa539b6aef1b49ba4283be02606',248,'2026-11-22 07:54:01.508532');
INSERT INTO "blobs" VALUES('8ca18aeb6de4fcc781add560d5e30a3686c9e6166c7ee6d0efef07463b3628ef',200,'2026-11-22 07:54:01.569977');
INSERT INTO "blobs" VALUES('d6b56bddaf237b89fa0313d54a115d790b4fce15658f5e617d28579dfbdd8f54',200,'2026-11-22 07:54:01.611722');
INSERT INTO "blobs" VALUES('6f356a7cab293a17d740f5a90966406a8ed8588419b77155ab10500c26d6c64b',200,'2026-11-22 07:54:01.620894');
INSERT INTO "blobs" VALUES('a1ba64b3d0b813cec965651060a45dfcf82a7a09304fa73ff98ede3f50c29e6a',200,'2026-11-22 07:54:01.713409');
INSERT INTO "blobs" VALUES('36971ae8e1a58c85cb52ad9ea153e87ab91a63339d54308f1e3261506da0aed5',200,'2026-11-22 07:54:01.722046');
CREATE TABLE contributions (
	task_key TEXT NOT NULL, 
	adapter_id INTEGER NOT NULL, 
	round INTEGER NOT NULL, 
	identity TEXT NOT NULL, 
	status TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	digest TEXT NOT NULL, 
	blob TEXT, 
	size_bytes BIGINT NOT NULL, 
	num_examples BIGINT NOT NULL, 
	metrics TEXT NOT NULL, 
	start_digest TEXT NOT NULL, 
	start_number INTEGER NOT NULL, 
	rank INTEGER NOT NULL, 
	approximate BOOLEAN NOT NULL, 
	counted_in INTEGER, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_contributions PRIMARY KEY (task_key), 
	CONSTRAINT ck_contributions_counted CHECK (counted_in IS NULL OR status = 'accepted'), 
	CONSTRAINT ck_contributions_status CHECK (status IN ('accepted', 'rejected')), 
	CONSTRAINT ck_contributions_num_examples CHECK (num_examples >= 0), 
	CONSTRAINT fk_contributions_adapter_id_counted_in FOREIGN KEY(adapter_id, counted_in) REFERENCES versions (adapter_id, number), 
	CONSTRAINT fk_contributions_adapter_id_round FOREIGN KEY(adapter_id, round) REFERENCES rounds (adapter_id, number), 
	CONSTRAINT fk_contributions_adapter_id FOREIGN KEY(adapter_id) REFERENCES adapters (id), 
	CONSTRAINT fk_contributions_blob FOREIGN KEY(blob) REFERENCES blobs (digest), 
	CONSTRAINT fk_contributions_task_key FOREIGN KEY(task_key) REFERENCES tasks ("key")
);
INSERT INTO "contributions" VALUES('support/en/train/1/n1',1,1,'n1','accepted','','526be2efdb3d4f9b3acd7dc1d5a63c14d0edf32a1baab38516ef3ddcb9c34f38',NULL,200,11,'{"loss":0.5}','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd',0,2,0,1,'2026-11-22 07:54:01.553861');
INSERT INTO "contributions" VALUES('support/en/train/1/n2',1,1,'n2','accepted','','bc9ad443fd2cf0dd0d000b198b90c6492f9a933658a8e98659e2f656eb5b0870',NULL,200,12,'{"loss":0.25}','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd',0,2,0,1,'2026-11-22 07:54:01.563508');
INSERT INTO "contributions" VALUES('support/en/train/2/n1',1,2,'n1','accepted','','d6b56bddaf237b89fa0313d54a115d790b4fce15658f5e617d28579dfbdd8f54','d6b56bddaf237b89fa0313d54a115d790b4fce15658f5e617d28579dfbdd8f54',200,13,'{}','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd',1,2,1,2,'2026-11-22 07:54:01.612200');
INSERT INTO "contributions" VALUES('support/en/train/2/n2',1,2,'n2','rejected','NaN in fc','',NULL,0,0,'{}','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd',1,2,0,NULL,'2026-11-22 07:54:01.615201');
CREATE TABLE counters (
	name TEXT NOT NULL, 
	value INTEGER NOT NULL, 
	CONSTRAINT pk_counters PRIMARY KEY (name)
);
INSERT INTO "counters" VALUES('events',40);
INSERT INTO "counters" VALUES('evidence',2);
INSERT INTO "counters" VALUES('decisions',3);
INSERT INTO "counters" VALUES('alias_log',4);
CREATE TABLE decision_evidence (
	decision INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	evidence INTEGER NOT NULL, 
	CONSTRAINT pk_decision_evidence PRIMARY KEY (decision, position), 
	CONSTRAINT fk_decision_evidence_decision FOREIGN KEY(decision) REFERENCES decisions (number), 
	CONSTRAINT fk_decision_evidence_evidence FOREIGN KEY(evidence) REFERENCES evidence (number)
);
INSERT INTO "decision_evidence" VALUES(1,0,1);
INSERT INTO "decision_evidence" VALUES(1,1,2);
INSERT INTO "decision_evidence" VALUES(2,0,2);
CREATE TABLE decisions (
	number INTEGER NOT NULL, 
	adapter_id INTEGER, 
	kind TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	payload TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_decisions PRIMARY KEY (number), 
	CONSTRAINT fk_decisions_adapter_id FOREIGN KEY(adapter_id) REFERENCES adapters (id)
);
INSERT INTO "decisions" VALUES(1,1,'keep','n1','too few windows','{"w":3}','2026-11-22 07:54:01.656003');
INSERT INTO "decisions" VALUES(2,1,'rollback','','worse on n2','{}','2026-11-22 07:54:01.704479');
INSERT INTO "decisions" VALUES(3,NULL,'keep','','nothing to say','{}','2026-11-22 07:54:01.707176');
CREATE TABLE drivers (
	epoch INTEGER NOT NULL, 
	owner TEXT NOT NULL, 
	started_at DATETIME NOT NULL, 
	CONSTRAINT pk_drivers PRIMARY KEY (epoch)
);
INSERT INTO "drivers" VALUES(1,'test','2026-11-22 07:54:01.489778');
INSERT INTO "drivers" VALUES(2,'successor é','2026-11-22 07:54:01.598250');
CREATE TABLE events (
	number INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	adapter_id INTEGER, 
	subject TEXT NOT NULL, 
	payload TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_events PRIMARY KEY (number), 
	CONSTRAINT fk_events_adapter_id FOREIGN KEY(adapter_id) REFERENCES adapters (id)
);
INSERT INTO "events" VALUES(1,'driver_started',NULL,'test','{"epoch":1}','2026-11-22 07:54:01.490990');
INSERT INTO "events" VALUES(2,'base_model_registered',NULL,'base','{"fingerprint":"ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"}','2026-11-22 07:54:01.496854');
INSERT INTO "events" VALUES(3,'adapter_created',1,'support/en','{"base_model":"base"}','2026-11-22 07:54:01.501621');
INSERT INTO "events" VALUES(4,'version_published',1,'support/en@0','{"digest":"f6e347bb5b6136f265e396c9119f10853e9c7fa539b6aef1b49ba4283be02606","number":0,"origin":"initial"}','2026-11-22 07:54:01.512681');
INSERT INTO "events" VALUES(5,'node_changed',NULL,'n1','{"address":"17","name":"clinic 0","status":"live"}','2026-11-22 07:54:01.525172');
INSERT INTO "events" VALUES(6,'node_changed',NULL,'n2','{"address":"18","name":"clinic 1","status":"live"}','2026-11-22 07:54:01.527069');
INSERT INTO "events" VALUES(7,'round_planned',1,'support/en round 1','{"number":1,"reason":"","version":null}','2026-11-22 07:54:01.534028');
INSERT INTO "events" VALUES(8,'round_open',1,'support/en round 1','{"number":1,"reason":"","version":null}','2026-11-22 07:54:01.546744');
INSERT INTO "events" VALUES(9,'contribution_accepted',1,'support/en/train/1/n1','{"identity":"n1","num_examples":11,"reason":"","round":1}','2026-11-22 07:54:01.556295');
INSERT INTO "events" VALUES(10,'contribution_accepted',1,'support/en/train/1/n2','{"identity":"n2","num_examples":12,"reason":"","round":1}','2026-11-22 07:54:01.564492');
INSERT INTO "events" VALUES(11,'round_aggregating',1,'support/en round 1','{"number":1,"reason":"","version":null}','2026-11-22 07:54:01.566702');
INSERT INTO "events" VALUES(12,'version_published',1,'support/en@1','{"digest":"8ca18aeb6de4fcc781add560d5e30a3686c9e6166c7ee6d0efef07463b3628ef","number":1,"origin":"round"}','2026-11-22 07:54:01.574646');
INSERT INTO "events" VALUES(13,'alias_set',1,'support/en@stable','{"alias":"stable","number":1,"previous":null,"reason":"round 1"}','2026-11-22 07:54:01.582176');
INSERT INTO "events" VALUES(14,'round_committed',1,'support/en round 1','{"number":1,"reason":"","version":1}','2026-11-22 07:54:01.582751');
INSERT INTO "events" VALUES(15,'metrics_recorded',1,'support/en@1','{"identity":"n1","metrics":{"accuracy":0.8}}','2026-11-22 07:54:01.589095');
INSERT INTO "events" VALUES(16,'task_done',1,'support/en/evaluate/1/n1','{"identity":"n1","kind":"evaluate","reason":"","round":1}','2026-11-22 07:54:01.592728');
INSERT INTO "events" VALUES(17,'task_rejected',NULL,'/describe/0/n1','{"identity":"n1","kind":"describe","reason":"no such model","round":0}','2026-11-22 07:54:01.597181');
INSERT INTO "events" VALUES(18,'driver_started',NULL,'successor é','{"epoch":2}','2026-11-22 07:54:01.598680');
INSERT INTO "events" VALUES(19,'round_planned',1,'support/en round 2','{"number":2,"reason":"","version":null}','2026-11-22 07:54:01.602762');
INSERT INTO "events" VALUES(20,'round_open',1,'support/en round 2','{"number":2,"reason":"","version":null}','2026-11-22 07:54:01.608137');
INSERT INTO "events" VALUES(21,'contribution_accepted',1,'support/en/train/2/n1','{"identity":"n1","num_examples":13,"reason":"","round":2}','2026-11-22 07:54:01.613271');
INSERT INTO "events" VALUES(22,'contribution_rejected',1,'support/en/train/2/n2','{"identity":"n2","num_examples":0,"reason":"NaN in fc","round":2}','2026-11-22 07:54:01.615920');
INSERT INTO "events" VALUES(23,'round_aggregating',1,'support/en round 2','{"number":2,"reason":"","version":null}','2026-11-22 07:54:01.617917');
INSERT INTO "events" VALUES(24,'version_published',1,'support/en@2','{"digest":"6f356a7cab293a17d740f5a90966406a8ed8588419b77155ab10500c26d6c64b","number":2,"origin":"round"}','2026-11-22 07:54:01.624240');
INSERT INTO "events" VALUES(25,'alias_set',1,'support/en@stable','{"alias":"stable","number":2,"previous":1,"reason":"round 2"}','2026-11-22 07:54:01.627996');
INSERT INTO "events" VALUES(26,'alias_set',1,'support/en@candidate','{"alias":"candidate","number":2,"previous":null,"reason":"round 2"}','2026-11-22 07:54:01.630380');
INSERT INTO "events" VALUES(27,'round_committed',1,'support/en round 2','{"number":2,"reason":"","version":2}','2026-11-22 07:54:01.630878');
INSERT INTO "events" VALUES(28,'alias_rolled_back',1,'support/en@stable','{"alias":"stable","number":1,"previous":2,"reason":"worse on n2"}','2026-11-22 07:54:01.637379');
INSERT INTO "events" VALUES(29,'contributions_pruned',1,'','{"contributions":2}','2026-11-22 07:54:01.643276');
INSERT INTO "events" VALUES(30,'evidence_recorded',1,'n1','{"kind":"harm","number":1}','2026-11-22 07:54:01.648556');
INSERT INTO "events" VALUES(31,'evidence_recorded',NULL,'n2','{"kind":"harm","number":2}','2026-11-22 07:54:01.650489');
INSERT INTO "events" VALUES(32,'decision_recorded',1,'n1','{"kind":"keep","number":1}','2026-11-22 07:54:01.701563');
INSERT INTO "events" VALUES(33,'decision_recorded',1,'','{"kind":"rollback","number":2}','2026-11-22 07:54:01.705616');
INSERT INTO "events" VALUES(34,'decision_recorded',NULL,'','{"kind":"keep","number":3}','2026-11-22 07:54:01.707786');
INSERT INTO "events" VALUES(35,'adapter_created',2,'support/de','{"base_model":"base"}','2026-11-22 07:54:01.710024');
INSERT INTO "events" VALUES(36,'version_published',2,'support/de@0','{"digest":"a1ba64b3d0b813cec965651060a45dfcf82a7a09304fa73ff98ede3f50c29e6a","number":0,"origin":"import"}','2026-11-22 07:54:01.717432');
INSERT INTO "events" VALUES(37,'version_published',2,'support/de@1','{"digest":"36971ae8e1a58c85cb52ad9ea153e87ab91a63339d54308f1e3261506da0aed5","number":1,"origin":"import"}','2026-11-22 07:54:01.723566');
INSERT INTO "events" VALUES(38,'version_retired',2,'support/de@0','{"number":0,"reason":"superseded"}','2026-11-22 07:54:01.730129');
INSERT INTO "events" VALUES(39,'round_planned',1,'support/en round 3','{"number":3,"reason":"","version":null}','2026-11-22 07:54:01.734380');
INSERT INTO "events" VALUES(40,'round_open',1,'support/en round 3','{"number":3,"reason":"","version":null}','2026-11-22 07:54:01.738354');
CREATE TABLE evidence (
	number INTEGER NOT NULL, 
	adapter_id INTEGER, 
	kind TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	payload TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_evidence PRIMARY KEY (number), 
	CONSTRAINT fk_evidence_adapter_id FOREIGN KEY(adapter_id) REFERENCES adapters (id)
);
INSERT INTO "evidence" VALUES(1,1,'harm','n1','{"z":2.5}','2026-11-22 07:54:01.647327');
INSERT INTO "evidence" VALUES(2,NULL,'harm','n2','{"z":3.5}','2026-11-22 07:54:01.649931');
CREATE TABLE metrics (
	id INTEGER NOT NULL, 
	version_id INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	identity TEXT NOT NULL, 
	published BOOLEAN NOT NULL, 
	value DOUBLE NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_metrics PRIMARY KEY (id), 
	CONSTRAINT fk_metrics_version_id FOREIGN KEY(version_id) REFERENCES versions (id), 
	CONSTRAINT uq_metrics_version_id_name_identity_published UNIQUE (version_id, name, identity, published)
);
INSERT INTO "metrics" VALUES(1,2,'loss','',1,0.375,'2026-11-22 07:54:01.573573');
INSERT INTO "metrics" VALUES(2,2,'accuracy','n1',0,0.8,'2026-11-22 07:54:01.588612');
CREATE TABLE nodes (
	identity TEXT NOT NULL, 
	name TEXT NOT NULL, 
	card TEXT NOT NULL, 
	address TEXT, 
	status TEXT NOT NULL, 
	first_seen DATETIME NOT NULL, 
	last_seen DATETIME NOT NULL, 
	CONSTRAINT pk_nodes PRIMARY KEY (identity), 
	CONSTRAINT ck_nodes_status CHECK (status IN ('live', 'gone', 'refused'))
);
INSERT INTO "nodes" VALUES('n1','clinic 0','{"max_rank":8,"tags":["a"]}','17','live','2026-11-22 07:54:01.524239','2026-11-22 07:54:01.524239');
INSERT INTO "nodes" VALUES('n2','clinic 1','{"max_rank":16,"tags":["a"]}','18','live','2026-11-22 07:54:01.526699','2026-11-22 07:54:01.526699');
CREATE TABLE polyrank_alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT polyrank_alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "polyrank_alembic_version" VALUES('0001');
CREATE TABLE rounds (
	adapter_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	state TEXT NOT NULL, 
	"plan" TEXT NOT NULL, 
	start_number INTEGER NOT NULL, 
	version INTEGER, 
	reason TEXT NOT NULL, 
	deadline_at DATETIME, 
	created_at DATETIME NOT NULL, 
	closed_at DATETIME, 
	CONSTRAINT pk_rounds PRIMARY KEY (adapter_id, number), 
	CONSTRAINT ck_rounds_committed CHECK ((state = 'committed') = (version IS NOT NULL)), 
	CONSTRAINT ck_rounds_state CHECK (state IN ('planned', 'open', 'aggregating', 'committed', 'abandoned')), 
	CONSTRAINT ck_rounds_number CHECK (number >= 1), 
	CONSTRAINT fk_rounds_adapter_id_start_number FOREIGN KEY(adapter_id, start_number) REFERENCES versions (adapter_id, number), 
	CONSTRAINT fk_rounds_adapter_id_version FOREIGN KEY(adapter_id, version) REFERENCES versions (adapter_id, number), 
	CONSTRAINT fk_rounds_adapter_id FOREIGN KEY(adapter_id) REFERENCES adapters (id)
);
INSERT INTO "rounds" VALUES(1,1,'committed','{"min_nodes":2}',0,1,'',NULL,'2026-11-22 07:54:01.532932','2026-11-22 07:54:01.577564');
INSERT INTO "rounds" VALUES(1,2,'committed','{"min_nodes":2}',1,2,'',NULL,'2026-11-22 07:54:01.602152','2026-11-22 07:54:01.625191');
INSERT INTO "rounds" VALUES(1,3,'open','{"min_nodes":2}',2,NULL,'',NULL,'2026-11-22 07:54:01.733800',NULL);
CREATE TABLE summaries (
	task_key TEXT NOT NULL, 
	adapter_id INTEGER NOT NULL, 
	round INTEGER NOT NULL, 
	identity TEXT NOT NULL, 
	payload TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_summaries PRIMARY KEY (task_key), 
	CONSTRAINT fk_summaries_adapter_id FOREIGN KEY(adapter_id) REFERENCES adapters (id), 
	CONSTRAINT fk_summaries_task_key FOREIGN KEY(task_key) REFERENCES contributions (task_key)
);
INSERT INTO "summaries" VALUES('support/en/train/1/n1',1,1,'n1','{"n":3,"sum":[1.5,-2.0]}','2026-11-22 07:54:01.554903');
INSERT INTO "summaries" VALUES('support/en/train/1/n2',1,1,'n2','{"n":4,"sum":[0.0,1e-07]}','2026-11-22 07:54:01.563874');
INSERT INTO "summaries" VALUES('support/en/train/2/n1',1,2,'n1','{"n":5,"sum":[2.5,0.0]}','2026-11-22 07:54:01.612654');
CREATE TABLE tags (
	version_id INTEGER NOT NULL, 
	"key" TEXT NOT NULL, 
	value TEXT NOT NULL, 
	CONSTRAINT pk_tags PRIMARY KEY (version_id, "key"), 
	CONSTRAINT fk_tags_version_id FOREIGN KEY(version_id) REFERENCES versions (id)
);
INSERT INTO "tags" VALUES(4,'k','v');
CREATE TABLE tasks (
	"key" TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	adapter_id INTEGER, 
	round INTEGER NOT NULL, 
	identity TEXT NOT NULL, 
	start_digest TEXT NOT NULL, 
	config_digest TEXT NOT NULL, 
	rank INTEGER NOT NULL, 
	state TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_tasks PRIMARY KEY ("key"), 
	CONSTRAINT ck_tasks_adapter CHECK (kind = 'describe' OR adapter_id IS NOT NULL), 
	CONSTRAINT ck_tasks_kind CHECK (kind IN ('train', 'evaluate', 'describe')), 
	CONSTRAINT ck_tasks_state CHECK (state IN ('open', 'done', 'rejected', 'expired')), 
	CONSTRAINT fk_tasks_adapter_id FOREIGN KEY(adapter_id) REFERENCES adapters (id)
);
INSERT INTO "tasks" VALUES('support/en/train/1/n1','train',1,1,'n1','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd','cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc',2,'done','2026-11-22 07:54:01.541548');
INSERT INTO "tasks" VALUES('support/en/train/1/n2','train',1,1,'n2','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd','cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc',2,'done','2026-11-22 07:54:01.544363');
INSERT INTO "tasks" VALUES('support/en/evaluate/1/n1','evaluate',1,1,'n1','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd','cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc',2,'done','2026-11-22 07:54:01.590846');
INSERT INTO "tasks" VALUES('support/en/evaluate/1/n2','evaluate',1,1,'n2','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd','cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc',2,'open','2026-11-22 07:54:01.594305');
INSERT INTO "tasks" VALUES('/describe/0/n1','describe',NULL,0,'n1','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd','cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc',2,'rejected','2026-11-22 07:54:01.595581');
INSERT INTO "tasks" VALUES('support/en/train/2/n1','train',1,2,'n1','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd','cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc',2,'done','2026-11-22 07:54:01.604593');
INSERT INTO "tasks" VALUES('support/en/train/2/n2','train',1,2,'n2','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd','cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc',2,'rejected','2026-11-22 07:54:01.606207');
INSERT INTO "tasks" VALUES('support/en/train/3/n1','train',1,3,'n1','dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd','cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc',2,'open','2026-11-22 07:54:01.736310');
CREATE TABLE version_parents (
	version_id INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	parent_adapter_id INTEGER NOT NULL, 
	parent_number INTEGER NOT NULL, 
	weight DOUBLE, 
	role TEXT NOT NULL, 
	CONSTRAINT pk_version_parents PRIMARY KEY (version_id, position), 
	CONSTRAINT fk_version_parents_parent_adapter_id_parent_number FOREIGN KEY(parent_adapter_id, parent_number) REFERENCES versions (adapter_id, number), 
	CONSTRAINT fk_version_parents_parent_adapter_id FOREIGN KEY(parent_adapter_id) REFERENCES adapters (id), 
	CONSTRAINT fk_version_parents_version_id FOREIGN KEY(version_id) REFERENCES versions (id)
);
INSERT INTO "version_parents" VALUES(2,0,1,0,NULL,'start');
INSERT INTO "version_parents" VALUES(3,0,1,1,NULL,'start');
INSERT INTO "version_parents" VALUES(4,0,1,1,0.5,'merge');
CREATE TABLE versions (
	id INTEGER NOT NULL, 
	adapter_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	digest TEXT NOT NULL, 
	size_bytes BIGINT NOT NULL, 
	origin TEXT NOT NULL, 
	round INTEGER, 
	rank INTEGER NOT NULL, 
	modules TEXT NOT NULL, 
	dense TEXT NOT NULL, 
	profile TEXT, 
	sketch BLOB, 
	idempotency_key TEXT, 
	created_at DATETIME NOT NULL, 
	retired_at DATETIME, 
	CONSTRAINT pk_versions PRIMARY KEY (id), 
	CONSTRAINT ck_versions_number CHECK (number >= 0), 
	CONSTRAINT fk_versions_adapter_id FOREIGN KEY(adapter_id) REFERENCES adapters (id), 
	CONSTRAINT fk_versions_digest FOREIGN KEY(digest) REFERENCES blobs (digest), 
	CONSTRAINT uq_versions_adapter_id_idempotency_key UNIQUE (adapter_id, idempotency_key), 
	CONSTRAINT uq_versions_adapter_id_number UNIQUE (adapter_id, number), 
	CONSTRAINT uq_versions_adapter_id_round UNIQUE (adapter_id, round)
);
INSERT INTO "versions" VALUES(1,1,0,'f6e347bb5b6136f265e396c9119f10853e9c7fa539b6aef1b49ba4283be02606',248,'initial',NULL,0,'[["fc",0,[4,3],"F32"]]','[["head",[2,4],"F32"]]',NULL,NULL,'initial','2026-11-22 07:54:01.509273',NULL);
INSERT INTO "versions" VALUES(2,1,1,'8ca18aeb6de4fcc781add560d5e30a3686c9e6166c7ee6d0efef07463b3628ef',200,'round',1,2,'[["fc",2,[4,3],"F32"]]','[]','{"dense":{},"format":1,"modules":{"fc":{"digest":"0","norm":1.0,"rank":2,"shape":[4,3],"spectrum":[1.0,1.0]}},"norm":1.0,"sketch":[1.0,0.5]}',X'000000000000F03F000000000000E03F',NULL,'2026-11-22 07:54:01.570235',NULL);
INSERT INTO "versions" VALUES(3,1,2,'6f356a7cab293a17d740f5a90966406a8ed8588419b77155ab10500c26d6c64b',200,'round',2,2,'[["fc",2,[4,3],"F32"]]','[]',NULL,NULL,NULL,'2026-11-22 07:54:01.621129',NULL);
INSERT INTO "versions" VALUES(4,2,0,'a1ba64b3d0b813cec965651060a45dfcf82a7a09304fa73ff98ede3f50c29e6a',200,'import',NULL,2,'[["fc",2,[4,3],"F32"]]','[]',NULL,NULL,'once','2026-11-22 07:54:01.713651','2026-11-22 07:54:01.728234');
INSERT INTO "versions" VALUES(5,2,1,'36971ae8e1a58c85cb52ad9ea153e87ab91a63339d54308f1e3261506da0aed5',200,'import',NULL,2,'[["fc",2,[4,3],"F32"]]','[]',NULL,NULL,NULL,'2026-11-22 07:54:01.722284',NULL);
CREATE INDEX ix_adapters_base_model_id ON adapters (base_model_id);
CREATE INDEX ix_decisions_adapter_id ON decisions (adapter_id);
CREATE INDEX ix_events_adapter_id_number ON events (adapter_id, number);
CREATE INDEX ix_evidence_adapter_id ON evidence (adapter_id);
CREATE INDEX ix_tasks_adapter_id_round ON tasks (adapter_id, round);
CREATE INDEX ix_tasks_adapter_id_state_round ON tasks (adapter_id, state, round);
CREATE INDEX ix_versions_digest ON versions (digest);
CREATE INDEX ix_alias_log_adapter_id_alias_sequence ON alias_log (adapter_id, alias, sequence);
CREATE INDEX ix_decision_evidence_evidence ON decision_evidence (evidence);
CREATE INDEX ix_metrics_name_value ON metrics (name, value);
CREATE INDEX ix_rounds_state ON rounds (state);
CREATE UNIQUE INDEX uq_rounds_unfinished ON rounds (adapter_id) WHERE state NOT IN ('committed', 'abandoned');
CREATE INDEX ix_tags_key_value ON tags ("key", value);
CREATE INDEX ix_version_parents_parent_adapter_id_parent_number ON version_parents (parent_adapter_id, parent_number);
CREATE INDEX ix_contributions_adapter_id_status_counted_in ON contributions (adapter_id, status, counted_in);
CREATE INDEX ix_contributions_kept ON contributions (adapter_id, counted_in) WHERE blob IS NOT NULL;
CREATE INDEX ix_contributions_adapter_id_round ON contributions (adapter_id, round);
CREATE INDEX ix_contributions_blob ON contributions (blob);
CREATE INDEX ix_summaries_adapter_id_round ON summaries (adapter_id, round);
CREATE TRIGGER guard_0_alias_log BEFORE UPDATE ON alias_log FOR EACH ROW BEGIN SELECT RAISE(ABORT, 'alias_log is append-only'); END;
CREATE TRIGGER guard_1_alias_log BEFORE DELETE ON alias_log FOR EACH ROW BEGIN SELECT RAISE(ABORT, 'alias_log is append-only'); END;
CREATE TRIGGER guard_2_events BEFORE UPDATE ON events FOR EACH ROW BEGIN SELECT RAISE(ABORT, 'events is append-only'); END;
CREATE TRIGGER guard_3_events BEFORE DELETE ON events FOR EACH ROW BEGIN SELECT RAISE(ABORT, 'events is append-only'); END;
CREATE TRIGGER guard_4_evidence BEFORE UPDATE ON evidence FOR EACH ROW BEGIN SELECT RAISE(ABORT, 'evidence is append-only'); END;
CREATE TRIGGER guard_5_evidence BEFORE DELETE ON evidence FOR EACH ROW BEGIN SELECT RAISE(ABORT, 'evidence is append-only'); END;
CREATE TRIGGER guard_6_decisions BEFORE UPDATE ON decisions FOR EACH ROW BEGIN SELECT RAISE(ABORT, 'decisions is append-only'); END;
CREATE TRIGGER guard_7_decisions BEFORE DELETE ON decisions FOR EACH ROW BEGIN SELECT RAISE(ABORT, 'decisions is append-only'); END;
CREATE TRIGGER guard_8_versions BEFORE DELETE ON versions FOR EACH ROW BEGIN SELECT RAISE(ABORT, 'versions are immutable'); END;
CREATE TRIGGER guard_9_versions BEFORE UPDATE OF adapter_id, number, digest, size_bytes, origin, round, rank, modules, dense ON versions FOR EACH ROW BEGIN SELECT RAISE(ABORT, 'versions are immutable'); END;
CREATE TRIGGER guard_10_contributions BEFORE UPDATE OF counted_in ON contributions FOR EACH ROW WHEN (OLD.counted_in IS NOT NULL) BEGIN SELECT RAISE(ABORT, 'counted_in is set once'); END;
CREATE TRIGGER guard_11_contributions BEFORE DELETE ON contributions FOR EACH ROW BEGIN SELECT RAISE(ABORT, 'contributions are kept'); END;
COMMIT;
