/// Writes the ids of a prompt. Encodes consecutive texts as one, so that byte-pair encoding sees all of it.
package struct TokenWriter {
    private let tokenizer: Tokenizer
    private var text = ""
    package private(set) var ids: [Int] = []

    init(_ tokenizer: Tokenizer) { self.tokenizer = tokenizer }

    package mutating func append(_ text: String) { self.text += text }

    package mutating func append(_ ids: [Int]) {
        if !text.isEmpty { self.ids += tokenizer.encode(text, parseSpecial: false) }
        text = ""
        self.ids += ids
    }
}
