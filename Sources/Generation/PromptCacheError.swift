/// Why a file of keys and values cannot be used, or not be made.
package struct PromptCacheError: Error, Equatable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        case notReadable
        /// Another kind of file.
        case notACache
        /// Written by another version of this program.
        case version
        /// Truncated, or changed since it was written.
        case damaged
        /// Of another model, or of the same one with other weights or another precision.
        case otherModel
        /// With keys and values of another type.
        case otherKeyValueType
        /// A saved conversation, which no prompt cache is written over.
        case conversation
        /// A prompt alone, where a conversation is wanted.
        case noConversation
        /// A full disk, for example.
        case notWritable
        /// The engine had no memory to keep what would be written.
        case nothingKept
    }

    package let code: Code
    package let file: String
    /// A part of the file; nil: all of it.
    package let place: String?
    package let expected: String?
    package let found: String
    package let remedy: String

    init(
        _ code: Code, file: String, place: String? = nil, expected: String? = nil, found: String, remedy: String
    ) {
        (self.code, self.file, self.place) = (code, file, place)
        (self.expected, self.found, self.remedy) = (expected, found, remedy)
    }

    package static func noConversation(_ file: String) -> PromptCacheError {
        PromptCacheError(
            .noConversation, file: file, expected: "a saved conversation", found: "the cache of a prompt",
            remedy: "Give it to --prompt-cache.")
    }

    package static func nothingKept(_ file: String) -> PromptCacheError {
        PromptCacheError(
            .nothingKept, file: file, expected: "keys and values of the prompt", found: "none: they were not kept",
            remedy: "Give the engine more memory, or take --kv-cache f16 or q8_0.")
    }

    package var description: String {
        let place = place.map { ", \($0)" } ?? ""
        let expected = expected.map { "expected \($0), found " } ?? ""
        return "\(file)\(place): \(expected)\(found). \(remedy)"
    }
}
