import Generation
import JSONText
import Media
import Tensors
import Tokenization
import Transcription

// Types of lower modules in the library's interface, so that `import Gemma4Kit` suffices.

public typealias ChatMessage = Tokenization.ChatMessage
public typealias ContentPart = Tokenization.ContentPart
public typealias Medium = Tokenization.Medium
public typealias JSONValue = JSONText.JSONValue

public typealias GenerationOptions = Generation.GenerationOptions
public typealias AnswerFormat = Generation.AnswerFormat
public typealias ToolChoice = Tokenization.ToolChoice
public typealias SamplingOptions = Generation.SamplingOptions
public typealias LoopGuard = Generation.LoopGuard
public typealias Prompt = Generation.Prompt
public typealias Answer = Generation.Answer
public typealias GeneratedToken = Generation.GeneratedToken
public typealias TokenKind = Tokenization.TokenKind
public typealias FinishReason = Generation.FinishReason
public typealias GenerationStatistics = Generation.GenerationStatistics
public typealias ResultStream = Generation.ResultStream
public typealias TokenStream = Generation.TokenStream

public typealias TranscriptionOptions = Transcription.TranscriptionOptions
public typealias Language = Transcription.Language
public typealias Transcript = Transcription.Transcript
public typealias TranscriptSegment = Transcription.TranscriptSegment
public typealias TranscriptReport = Transcription.TranscriptReport
public typealias TranscriptEvent = Transcription.TranscriptEvent
public typealias TranscriptStream = Transcription.TranscriptStream
public typealias TranscriptFormat = Transcription.TranscriptFormat
public typealias TranscriptWriter = Transcription.TranscriptWriter
public typealias TranscriptContext = Transcription.TranscriptContext
public typealias SubtitleLayout = Transcription.SubtitleLayout

public typealias EngineLimits = Generation.EngineLimits
public typealias EngineStatistics = Generation.EngineStatistics

public typealias Pixels = Media.Pixels
public typealias PCMStream = Media.PCMStream
public typealias AudioChannels = Media.AudioChannels
public typealias SoundTrack = Media.SoundTrack
public typealias MediaNotice = Media.MediaNotice

public typealias ElementType = Tensors.ElementType
public typealias KeyValueType = Tensors.KeyValueType
public typealias Activations = Tensors.Activations
