/// Why a prompt cache file cannot be used or written.
package struct PromptCacheError: Error, Equatable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        case notReadable
        /// Not a prompt cache file.
        case notACache
        /// Written by another version of this program.
        case version
        /// Truncated or corrupted.
        case damaged
        /// Of another model, or of the same model with different weights or precision.
        case otherModel
        /// The type of keys and values differs.
        case otherKeyValueType
        /// A saved conversation, which a prompt cache must not overwrite.
        case conversation
        /// A prompt cache without a conversation.
        case noConversation
        /// The file cannot be written, for example because the disk is full.
        case notWritable
        /// The engine had no memory to keep the keys and values.
        case nothingKept
    }

    package let code: Code
    package let file: String
    /// A part of the file; nil: the whole file.
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
