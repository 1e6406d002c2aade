import Gemma4
import JSONText

/// A prompt as the model reads it: token ids, and the media whose soft tokens stand at the placeholders.
public struct Prompt: Sendable {
    /// As rendered, one placeholder for each picture or recording; empty for plain ids.
    public let text: String
    /// After expansion: one placeholder id for each soft token.
    public let tokens: [Int]
    /// The answer begins inside a thought that the prompt has opened.
    package let opensThought: Bool
    /// The answer may begin with a thought.
    package let allowsThought: Bool
    /// The declarations of the tools that the answer may call.
    package let tools: [JSONValue]
    /// The media in order, with the positions of their placeholders.
    package let media: [(positions: Range<Int>, input: EncoderInput)]
    /// What each position is.
    package let units: [PromptUnit]

    /// Ids as they are, without chat format.
    public init(tokens: [Int]) {
        self.init(text: "", tokens: tokens, media: [], opensThought: false)
    }

    /// - Parameter media: ascending, each with as many placeholders in `tokens` as it has soft tokens.
    package init(
        text: String, tokens: [Int], media: [(positions: Range<Int>, input: EncoderInput)], opensThought: Bool,
        allowsThought: Bool = false, tools: [JSONValue] = []
    ) {
        (self.text, self.tokens, self.media) = (text, tokens, media)
        (self.opensThought, self.allowsThought, self.tools) = (opensThought, allowsThought, tools)
        units = [PromptUnit](tokens, media: media.map { ($0.positions, $0.input.hash) })
    }

    /// How many positions pictures and frames take, or recordings.
    package func softTokenCount(ofImages isImage: Bool) -> Int {
        media.reduce(0) { $0 + ($1.input.isImage == isImage ? $1.positions.count : 0) }
    }

    /// The same prompt with other ids from `position` on, none of them of a medium.
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

    /// The media whose placeholders begin in these positions.
    func media(in positions: Range<Int>) -> [(positions: Range<Int>, input: EncoderInput)] {
        media.filter { $0.positions.overlaps(positions) }
    }
}
