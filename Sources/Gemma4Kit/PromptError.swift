/// What a conversation holds that cannot become a prompt.
public struct PromptError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Code: Sendable, Equatable {
        /// Films are not read.
        case video
        /// A message names a medium that nobody handed over, or more were handed over than named.
        case mediaCount(named: Int, given: Int)
        /// A picture where the message names a recording, or the reverse.
        case mediumKind(index: Int, named: String)
        /// A medium is named by an address that is no file.
        case reference(String)
        /// A recording too short to have one frame.
        case audioTooShort(samples: Int)
        /// The tokenizer lacks a token of the chat format.
        case missingToken(String)
    }

    public let code: Code

    init(_ code: Code) { self.code = code }

    public var description: String {
        switch code {
        case .video:
            "video: expected pictures and recordings; films are not read. Hand over single frames as PNG or JPEG."
        case .mediaCount(let named, let given):
            "the messages name \(named) pictures and recordings, \(given) were given; give as many, in their order"
        case .mediumKind(let index, let named):
            "medium \(index + 1): the message names \(named == "image" ? "a picture" : "a recording"), the other was given"
        case .reference(let reference):
            "\(reference): expected the path of a file, or a file: or data: URL; other addresses are not fetched"
        case .audioTooShort(let samples):
            "the recording has \(samples) samples at 16 kHz; expected more than 160 (10 ms)"
        case .missingToken(let token):
            "tokenizer.json: expected the special token \(token) of the chat format, found none. "
                + "Use the tokenizer.json published beside the weights."
        }
    }
}
