/// An input that the model cannot accept.
package struct ModelInputError: Error, Equatable, CustomStringConvertible {
    package enum Code: Sendable, Equatable {
        /// A token id outside the vocabulary.
        case unknownToken(id: Int, vocabSize: Int)
        /// The number of placeholders in the ids differs from the number of soft tokens.
        case softTokenCount(expected: Int, found: Int)
        /// More positions than the model supports.
        case contextLength(needed: Int, limit: Int)
        /// A kind of input for which this variant has no tower: "image", "audio".
        case noTower(String)
        /// More patches along one side of an image than the checkpoint has position embeddings for.
        case imageSide(patches: Int, limit: Int)
        /// No tokens.
        case emptyPrompt
        /// The output is NaN or infinite although all weights are finite.
        case notFinite
    }

    package let code: Code

    package init(_ code: Code) { self.code = code }

    package var description: String {
        switch code {
        case .unknownToken(let id, let vocabSize):
            "token id \(id): expected 0 to \(vocabSize - 1), the vocabulary of this checkpoint"
        case .softTokenCount(let expected, let found):
            "the prompt holds \(expected) image, video or audio placeholders, but \(found) soft tokens were given for them"
        case .contextLength(let needed, let limit):
            "the conversation needs \(needed) positions; the model takes at most \(limit). Shorten the prompt or ask for fewer tokens."
        case .noTower(let kind):
            "this checkpoint has no \(kind) tower and takes no \(kind) input; E2B, E4B and 12B take text, pictures and "
                + "sound, 31B and 26B-A4B text and pictures. The towers of a .gguf file are in its mmproj file"
        case .imageSide(let patches, let limit):
            "the image is \(patches) patches long; the checkpoint has positions for \(limit). Choose a smaller budget of "
                + "soft tokens, or cut the image"
        case .emptyPrompt: "the prompt holds no token; expected at least one"
        case .notFinite: "the model's numbers overflow on this input, although its weights are finite"
        }
    }
}
