import { readdirSync, readFileSync } from 'node:fs';
import { type MigrationInterface, type QueryRunner } from 'typeorm';

const MIGRATION_FILE = /^(\d{4})-[a-z0-9-]+\.sql$/;

/**
 * The numbered SQL files of this folder as migrations for TypeORM's runner.
 *
 * TypeORM orders migrations by the 13 digits at the end of their name and remembers the name, so `0001-control.sql`
 * becomes `0001-control0000000000001`. There is no way down: expand in one release, contract in a later one.
 */
export function numberedMigrations(): (new () => MigrationInterface)[] {
  const folder = new URL('.', import.meta.url);
  return readdirSync(folder)
    .filter((file) => MIGRATION_FILE.test(file))
    .sort()
    .map((file) => {
      const sql = readFileSync(new URL(file, folder), 'utf8');
      const name = `${file.replace('.sql', '')}${file.slice(0, 4).padStart(13, '0')}`;
      return class implements MigrationInterface {
        readonly name = name;

        async up(runner: QueryRunner): Promise<void> {
          await runner.query(sql);
        }

        down(): Promise<void> {
          return Promise.reject(new Error('Migrations only go forward'));
        }
      };
    });
}
