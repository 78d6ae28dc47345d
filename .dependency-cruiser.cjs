/** The room plan as lint: storeys import downwards only, libraries are entered by their door, rooms keep their arrows. */
module.exports = {
  forbidden: [
    {
      name: 'no-circle-between-files',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no-circle-between-folders',
      severity: 'error',
      scope: 'folder',
      from: {},
      to: { circular: true },
    },
    {
      name: 'topology-stands-alone',
      comment: 'Storey 0: the words and rules. No I/O, no framework.',
      severity: 'error',
      from: { path: '^libs/topology/src' },
      to: { pathNot: ['^libs/topology/src', '^node_modules/(h3-js|uuid|typeid-js)/'] },
    },
    {
      name: 'contracts-lean-on-topology-only',
      comment: 'Storey 1 is carried by the client SDK: no Nest, no Node.',
      severity: 'error',
      from: { path: '^libs/contracts/src' },
      to: { pathNot: ['^libs/contracts/src', '^libs/topology/src/index\\.ts$', '^node_modules/zod/'] },
    },
    {
      name: 'client-runs-anywhere',
      comment: 'Browsers, React Native and Node: no Nest, no Node-only module, nothing of the servers.',
      severity: 'error',
      from: { path: '^libs/(client|ops-client)/src' },
      to: {
        pathNot: [
          '^libs/$1/src',
          '^libs/(topology|contracts)/src/index\\.ts$',
          '^node_modules/(zod|uuid|p-retry|eventsource-parser)/',
        ],
      },
    },
    {
      name: 'server-kit-knows-no-app',
      severity: 'error',
      from: { path: '^libs/server-kit/src' },
      to: { path: ['^apps/', '^infra/', '^test/'] },
    },
    {
      name: 'libraries-by-their-door',
      severity: 'error',
      from: { path: '^(apps|libs|infra|test)/([^/]+)/' },
      to: { path: '^libs/[^/]+/src/', pathNot: ['^libs/[^/]+/src/index\\.ts$', '^$1/$2/'] },
    },
    {
      name: 'no-app-from-an-app',
      severity: 'error',
      from: { path: '^apps/([^/]+)/' },
      to: { path: '^apps/', pathNot: '^apps/$1/' },
    },
    {
      name: 'apps-and-libraries-know-no-infra-or-test',
      severity: 'error',
      from: { path: '^(apps|libs)/' },
      to: { path: ['^infra/', '^test/'] },
    },
    {
      name: 'infra-knows-no-source',
      severity: 'error',
      from: { path: '^infra/' },
      to: { path: ['^apps/', '^libs/', '^test/'] },
    },
    {
      name: 'router-stages-do-not-know-each-other',
      comment: 'route-request tells the story; each stage does one thing for it.',
      severity: 'error',
      from: { path: '^apps/router/src/(tag|table|forward)/' },
      to: { path: '^apps/router/src/', pathNot: '^apps/router/src/$1/' },
    },
    {
      name: 'hold-and-feed-lean-on-the-table-only',
      severity: 'error',
      from: { path: '^apps/router/src/(hold|feed)/' },
      to: { path: '^apps/router/src/', pathNot: ['^apps/router/src/$1/', '^apps/router/src/table/'] },
    },
    {
      name: 'moves-lean-on-voters-and-watch',
      comment: 'ops-api → moves → voters, watch; publish → voters.',
      severity: 'error',
      from: { path: '^apps/coordinator/src/(moves|watch|publish)/' },
      to: { path: '^apps/coordinator/src/ops-api/' },
    },
    {
      name: 'the-checker-knows-nothing-of-the-implementation',
      severity: 'error',
      from: { path: '^test/drill/checker/' },
      to: { path: ['^apps/', '^libs/', '^infra/'] },
    },
    {
      name: 'voters-know-no-one',
      severity: 'error',
      from: { path: '^apps/coordinator/src/voters/' },
      to: { path: '^apps/coordinator/src/', pathNot: '^apps/coordinator/src/voters/' },
    },
    {
      name: 'ownership-leans-on-nobody',
      severity: 'error',
      from: { path: '^apps/zone/src/(ownership|replication|migrations)/' },
      to: { path: '^apps/zone/src/', pathNot: '^apps/zone/src/$1/' },
    },
    {
      name: 'stores-and-couriers-do-not-know-orders',
      severity: 'error',
      from: { path: '^apps/zone/src/(stores|couriers)/' },
      to: { path: '^apps/zone/src/(orders|dispatch)/' },
    },
    {
      name: 'dependencies-are-declared',
      severity: 'error',
      from: { path: '^(apps|libs)/' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'unknown'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    // A spec may reach for test/support, which may reach for an app: no arrow of the rooms themselves.
    exclude: { path: ['^dist/', '\\.spec\\.ts$'] },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
      exportsFields: ['exports'],
      mainFields: ['module', 'main', 'types'],
    },
  },
};
