import Generation
import JSONText
import Media
import Tensors
import Tokenization
import Transcription

// Types of lower modules in the library's interface, so that `import Gemma4Kit` suffices.

/// One message of a conversation.
public typealias ChatMessage = Tokenization.ChatMessage
/// A piece of a message: text, or a picture, recording or film.
public typealias ContentPart = Tokenization.ContentPart
/// Image, audio or video.
public typealias Medium = Tokenization.Medium
/// A JSON value whose objects keep the order of their keys.
public typealias JSONValue = JSONText.JSONValue

/// Options of one answer: sampling, length, stop strings, format, thinking.
public typealias GenerationOptions = Generation.GenerationOptions
/// A grammar that an answer has to follow: JSON, a schema, a regular expression or GBNF.
public typealias AnswerFormat = Generation.AnswerFormat
/// Which functions an answer may or must call.
public typealias ToolChoice = Tokenization.ToolChoice
/// How the next token is chosen from its probabilities.
public typealias SamplingOptions = Generation.SamplingOptions
/// When an answer that repeats itself is ended.
public typealias LoopGuard = Generation.LoopGuard
/// A rendered conversation: text, token ids and media.
public typealias Prompt = Generation.Prompt
/// A whole answer: tokens, text, thoughts and why it ended.
public typealias Answer = Generation.Answer
/// One token of an answer, as it is streamed.
public typealias GeneratedToken = Generation.GeneratedToken
/// What a token belongs to: answer, thought, tool call or control.
public typealias TokenKind = Tokenization.TokenKind
/// Why an answer ended.
public typealias FinishReason = Generation.FinishReason
/// Tokens and seconds of one answer.
public typealias GenerationStatistics = Generation.GenerationStatistics
/// An asynchronous sequence of results; leaving its loop cancels the work.
public typealias ResultStream = Generation.ResultStream
/// The tokens of an answer as they come.
public typealias TokenStream = Generation.TokenStream

/// Options of a transcription: language, excerpt, segmentation.
public typealias TranscriptionOptions = Transcription.TranscriptionOptions
/// A language that speech is written in or translated to.
public typealias Language = Transcription.Language
/// A whole transcript: its segments and a report.
public typealias Transcript = Transcription.Transcript
/// A stretch of speech with its times and text.
public typealias TranscriptSegment = Transcription.TranscriptSegment
/// What a transcription read, skipped and measured.
public typealias TranscriptReport = Transcription.TranscriptReport
/// A segment, progress, a notice or the end of a transcription.
public typealias TranscriptEvent = Transcription.TranscriptEvent
/// The events of a transcription as they come.
public typealias TranscriptStream = Transcription.TranscriptStream
/// Text, JSON, SRT, WebVTT and so on.
public typealias TranscriptFormat = Transcription.TranscriptFormat
/// Writes transcripts in a format.
public typealias TranscriptWriter = Transcription.TranscriptWriter
/// What a written transcript says about itself besides its segments.
public typealias TranscriptContext = Transcription.TranscriptContext
/// Line lengths and durations of subtitles.
public typealias SubtitleLayout = Transcription.SubtitleLayout

/// Limits of memory and of sequences that run at once.
public typealias EngineLimits = Generation.EngineLimits
/// Counters of the engine since it was started.
public typealias EngineStatistics = Generation.EngineStatistics

/// A decoded picture.
public typealias Pixels = Media.Pixels
/// Samples that arrive over time, without a file.
public typealias PCMStream = Media.PCMStream
/// Which channels of a recording are heard, and whether apart.
public typealias AudioChannels = Media.AudioChannels
/// Which sound track of a film is heard.
public typealias SoundTrack = Media.SoundTrack
/// A remark about a file that is read all the same.
public typealias MediaNotice = Media.MediaNotice

/// How the elements of a tensor are stored.
public typealias ElementType = Tensors.ElementType
/// How cached keys and values are stored.
public typealias KeyValueType = Tensors.KeyValueType
/// The precision of activations that quantized weights are multiplied by.
public typealias Activations = Tensors.Activations
