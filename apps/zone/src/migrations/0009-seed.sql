-- A database that was made anew, because its disk was lost, is told from the one before by its instance: what others knew of its
-- log means nothing there.
ALTER TABLE control.zone ADD COLUMN instance uuid NOT NULL DEFAULT gen_random_uuid();

CREATE TABLE control.known_instance (
  zone text PRIMARY KEY,
  instance uuid NOT NULL
);
