/// Why a conversation cannot be converted to a prompt.
package struct PromptError: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        /// The number of media given differs from the number that messages name.
        case mediaCount(named: Int, given: Int)
        /// The kind of a medium differs from the one that the message names, for example an image for a recording.
        case mediumKind(index: Int, named: String)
        /// A medium is referenced by a URL that is not a file.
        case reference(String)
        /// A recording shorter than one frame.
        case audioTooShort(samples: Int)
        /// A task without a prompt; `known` lists the tasks with one.
        case noSuchTask(String, known: [String])
        /// An unsupported number of dimensions.
        case noSuchDimensions(Int, known: [Int])
        /// The tokenizer lacks a token of the chat format.
        case missingToken(String)
    }

    package let code: Code

    init(_ code: Code) { self.code = code }

    package var description: String {
        switch code {
        case .mediaCount(let named, let given):
            "the messages name \(named) pictures, recordings and films, \(given) were given; give as many, in their order"
        case .mediumKind(let index, let named):
            "medium \(index + 1): the message names \(Self.noun(named)), something else was given"
        case .reference(let reference):
            "\(reference): expected a data: URL, or the path or file: URL of a file where the caller allows those; "
                + "other addresses are not fetched"
        case .audioTooShort(let samples):
            "the recording has \(samples) samples at 16 kHz; expected more than 160 (10 ms)"
        case .noSuchTask(let task, let known):
            "task \(task): "
                + (known.isEmpty
                    ? "config_sentence_transformers.json beside the weights holds its prompt, and there is none; download it"
                    : "expected one of \(known.joined(separator: ", "))")
        case .noSuchDimensions(let count, let known):
            "\(count) dimensions: expected one of \(known.map(String.init).joined(separator: ", "))"
        case .missingToken(let token):
            "tokenizer.json: expected the special token \(token) of the chat format, found none. "
                + "Use the tokenizer.json published beside the weights."
        }
    }

    private static func noun(_ medium: String) -> String {
        switch medium {
        case "image": "a picture"
        case "audio": "a recording"
        default: "a film"
        }
    }
}
