#include <histedit.h>
#include <stddef.h>
#include <stdio.h>

// `el_set`, `el_get` and `history` take arguments of any kind, which Swift does not import.

/// Edits on standard input, shows on standard error.
static inline EditLine *edit_open(void) { return el_init("gemma4", stdin, stderr, stderr); }
static inline void edit_set_owner(EditLine *editor, void *owner) { el_set(editor, EL_CLIENTDATA, owner); }
static inline void *edit_owner(EditLine *editor) {
    void *owner = NULL;
    el_get(editor, EL_CLIENTDATA, &owner);
    return owner;
}
static inline void edit_set_prompt(EditLine *editor, char *(*prompt)(EditLine *)) { el_set(editor, EL_PROMPT, prompt); }
static inline void edit_set_style(EditLine *editor, const char *name) { el_set(editor, EL_EDITOR, name); }
static inline void edit_set_mode(EditLine *editor, const char *mode) { el_set(editor, EL_SETTY, "-d", mode, NULL); }
static inline void edit_prepare_terminal(EditLine *editor, int is_prepared) {
    el_set(editor, EL_PREP_TERM, is_prepared);
}
static inline void edit_refresh(EditLine *editor) { el_set(editor, EL_REFRESH); }
static inline void edit_bind(
    EditLine *editor, const char *name, const char *key, unsigned char (*function)(EditLine *, int)) {
    el_set(editor, EL_ADDFN, name, name, function);
    el_set(editor, EL_BIND, key, name, NULL);
}
static inline void edit_use_history(EditLine *editor, History *entries) { el_set(editor, EL_HIST, history, entries); }
static inline void history_set_size(History *entries, int count) {
    HistEvent event;
    history(entries, &event, H_SETSIZE, count);
    history(entries, &event, H_SETUNIQUE, 1);
}
static inline void history_enter(History *entries, const char *line) {
    HistEvent event;
    history(entries, &event, H_ENTER, line);
}
static inline int history_load(History *entries, const char *path) {
    HistEvent event;
    return history(entries, &event, H_LOAD, path);
}
static inline int history_save(History *entries, const char *path) {
    HistEvent event;
    return history(entries, &event, H_SAVE, path);
}
