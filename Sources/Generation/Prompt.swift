import Gemma4
import JSONText

/// A prompt as the model's input: token ids, and the media whose soft tokens replace the placeholders.
public struct Prompt: Sendable {
    /// As rendered, one placeholder per image or recording; empty for plain ids.
    public let text: String
    /// After expansion: one placeholder id per soft token.
    public let tokens: [Int]
    /// Whether the answer starts within a thought that the prompt has opened.
    package let opensThought: Bool
    /// Whether the answer may start with a thought.
    package let allowsThought: Bool
    /// The declarations of the tools that may be called.
    package let tools: [JSONValue]
    /// The media in order, and the positions of their placeholders.
    package let media: [(positions: Range<Int>, input: EncoderInput)]
    /// The unit at each position.
    package let units: [PromptUnit]

    /// Token ids without chat format.
    public init(tokens: [Int]) {
        self.init(text: "", tokens: tokens, media: [], opensThought: false)
    }

    /// - Parameter media: ascending; each medium has one placeholder in `tokens` per soft token.
    package init(
        text: String, tokens: [Int], media: [(positions: Range<Int>, input: EncoderInput)], opensThought: Bool,
        allowsThought: Bool = false, tools: [JSONValue] = []
    ) {
        (self.text, self.tokens, self.media) = (text, tokens, media)
        (self.opensThought, self.allowsThought, self.tools) = (opensThought, allowsThought, tools)
        units = [PromptUnit](tokens, media: media.map { ($0.positions, $0.input.hash) })
    }

    /// The number of positions of images and frames, or of recordings.
    package func softTokenCount(ofImages isImage: Bool) -> Int {
        media.reduce(0) { $0 + ($1.input.isImage == isImage ? $1.positions.count : 0) }
    }

    /// The prompt with the ids of `range`, which must not include placeholders of media, replaced.
    package func replacingTokens(_ range: Range<Int>, with ids: [Int]) -> Prompt {
        let shift = ids.count - range.count
        let media = media.map { medium in
            medium.positions.lowerBound < range.lowerBound
                ? medium
                : (medium.positions.lowerBound + shift..<medium.positions.upperBound + shift, medium.input)
        }
        return Prompt(
            text: text, tokens: tokens[..<range.lowerBound] + ids + tokens[range.upperBound...], media: media,
            opensThought: opensThought, allowsThought: allowsThought, tools: tools)
    }

    /// The media whose placeholders overlap these positions.
    func media(in positions: Range<Int>) -> [(positions: Range<Int>, input: EncoderInput)] {
        media.filter { $0.positions.overlaps(positions) }
    }
}
