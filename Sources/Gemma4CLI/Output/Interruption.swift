import Dispatch
import Foundation
import Gemma4Kit

extension StopSignal {
    /// Set by the first Ctrl-C or SIGTERM; the second ends the program at once.
    static func onInterrupt() -> StopSignal {
        let stop = StopSignal()
        for number in [SIGINT, SIGTERM] {
            signal(number, SIG_IGN)  // for its default action would be taken beside the source's
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler {
                defer { withExtendedLifetime(source) {} }  // the source lives as long as its handler
                guard stop.isSet else { return stop.set() }
                Drafts.unlinkAll()
                _exit(number == SIGINT ? ExitStatus.interrupted.rawValue : ExitStatus.stopped.rawValue)
            }
            source.resume()
        }
        return stop
    }
}
