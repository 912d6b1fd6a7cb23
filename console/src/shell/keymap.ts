/** The keyboard map, as the help shows it. The bindings themselves stand where they act. */
export const KEYMAP: { where: string; keys: [keys: string, does: string][] }[] = [
  {
    where: 'Everywhere',
    keys: [
      ['mod+k', 'Search and commands'],
      ['?', 'This help'],
      ['g n', 'Now'],
      ['g i', 'Incidents'],
      ['g k', 'Checks'],
      ['g h', 'Hosts'],
      ['g s', 'Services'],
      ['g r', 'Runs'],
      ['g c', 'Changes'],
      ['mod+.', 'System, light or dark'],
      ['u', 'Undo'],
    ],
  },
  {
    where: 'Lists',
    keys: [
      ['j', 'Next row'],
      ['k', 'Previous row'],
      ['enter', 'Open (also o)'],
      ['space', 'Peek'],
      ['x', 'Select'],
      ['/', 'Filter'],
      ['a', 'Take it'],
      ['c', 'New'],
      ['1', 'First view, 2 second, …'],
      ['g g', 'First row'],
      ['G', 'Last row'],
      ['escape', 'Back out one layer'],
    ],
  },
  {
    where: 'Records and incidents',
    keys: [
      ['a', 'Take or acknowledge'],
      ['s', 'Next stage'],
      ['e', 'Edit the fields'],
      ['n', 'Write a note'],
      ['mod+enter', 'Post the note, save the form'],
      ['escape', 'Back to the list'],
    ],
  },
]
