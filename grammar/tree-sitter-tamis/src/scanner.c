// Decides whether a newline ends a statement: it does unless the next line begins with a clause word. Inside of brackets
// and behind commas and operators the grammar asks for no end, and newlines are blanks.

#include "tree_sitter/parser.h"

#include <string.h>

enum { LINE_END, ERROR_SENTINEL };

static const char *const GOES_ON[] = {"of",   "at", "by", "to",   "keep", "remove", "into",
                                      "from", "on", "for", "over", "with", "except"};

static bool is_word(int32_t letter) {
    return (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') || (letter >= '0' && letter <= '9') ||
           letter == '_';
}

// Whether the word at the cursor continues the statement above.
static bool goes_on(TSLexer *lexer) {
    char word[8];
    size_t length = 0;
    while (is_word(lexer->lookahead)) {
        if (length + 1 == sizeof word) {
            return false;
        }
        word[length++] = (char)lexer->lookahead;
        lexer->advance(lexer, false);
    }
    word[length] = '\0';
    for (size_t at = 0; at < sizeof GOES_ON / sizeof GOES_ON[0]; at++) {
        if (strcmp(word, GOES_ON[at]) == 0) {
            return true;
        }
    }
    return false;
}

void *tree_sitter_tamis_external_scanner_create(void) { return NULL; }

void tree_sitter_tamis_external_scanner_destroy(void *payload) { (void)payload; }

unsigned tree_sitter_tamis_external_scanner_serialize(void *payload, char *buffer) {
    (void)payload;
    (void)buffer;
    return 0;
}

void tree_sitter_tamis_external_scanner_deserialize(void *payload, const char *buffer, unsigned length) {
    (void)payload;
    (void)buffer;
    (void)length;
}

bool tree_sitter_tamis_external_scanner_scan(void *payload, TSLexer *lexer, const bool *valid_symbols) {
    (void)payload;
    if (!valid_symbols[LINE_END]) {
        return false;
    }
    lexer->result_symbol = LINE_END;
    while (lexer->lookahead == ' ' || lexer->lookahead == '\t' || lexer->lookahead == '\r') {
        lexer->advance(lexer, true);
    }
    lexer->mark_end(lexer);
    // After a mistake any symbol is valid: then only a newline ends what is broken.
    if (lexer->eof(lexer) || lexer->lookahead == '}') {
        return !valid_symbols[ERROR_SENTINEL];
    }
    if (lexer->lookahead != '\n' && lexer->lookahead != '#') {
        return false;
    }
    // Comments and further newlines behind the end stay what they are.
    if (lexer->lookahead == '\n') {
        lexer->advance(lexer, false);
        lexer->mark_end(lexer);
    }
    while (!lexer->eof(lexer)) {
        if (lexer->lookahead == '#') {
            while (!lexer->eof(lexer) && lexer->lookahead != '\n') {
                lexer->advance(lexer, false);
            }
        } else if (lexer->lookahead == ' ' || lexer->lookahead == '\t' || lexer->lookahead == '\r' ||
                   lexer->lookahead == '\n') {
            lexer->advance(lexer, false);
        } else {
            break;
        }
    }
    return !goes_on(lexer);
}
