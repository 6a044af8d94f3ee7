// What eslint watches: mistakes that neither the compiler nor the formatter sees. The rules about the shape of the
// repository (who imports whom, sizes, names, the door to the world) are tests in e2e/house.
import tseslint from 'typescript-eslint';

const rules = {
  '@typescript-eslint/consistent-type-imports': 'error',
  '@typescript-eslint/no-explicit-any': 'error',
  '@typescript-eslint/no-floating-promises': 'error',
  '@typescript-eslint/no-misused-promises': 'error',
  '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
  '@typescript-eslint/only-throw-error': 'error',
  '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
  eqeqeq: 'error',
  'no-constant-condition': ['error', { checkLoops: false }],
  'no-empty': 'error',
  'no-fallthrough': 'error',
  'no-restricted-imports': [
    'error',
    {
      paths: [
        { name: 'assert', message: 'use base/assert, or uvu/assert in tests' },
        { name: 'node:test', message: 'tests use uvu' },
        { name: 'node:assert', message: 'use base/assert, or uvu/assert in tests' },
      ],
    },
  ],
  'no-restricted-syntax': [
    'error',
    { selector: 'ExportDefaultDeclaration', message: 'export by name' },
    { selector: 'TSEnumDeclaration', message: 'use a union of literals' },
  ],
  'no-var': 'error',
  'prefer-const': 'error',
};

export default tseslint.config(
  { ignores: ['**/node_modules/', '**/build/', '**/gen/', 'eslint.config.js'] },
  { linterOptions: { reportUnusedDisableDirectives: 'error' } },
  {
    files: ['**/*.ts'],
    languageOptions: {
      parser: tseslint.parser,
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    plugins: { '@typescript-eslint': tseslint.plugin },
    rules,
  },
);
