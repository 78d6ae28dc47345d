import { Module } from '@nestjs/common';
import { AreaLookup } from './area-lookup.js';

@Module({ providers: [AreaLookup], exports: [AreaLookup] })
export class AreasModule {}
