// Which instruction set is taken, and what is refused: on tables made here, as no processor lacks and has a set at once.
#include <stdexcept>

#include "check.hpp"

namespace checks {
namespace {

// The name of what is chosen, or the message of the refusal.
std::string choice_of(const std::vector<InstructionSet>& sets, const std::string& wish) {
  try {
    return linprobe::choose(sets, wish).name;
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
}

}  // namespace

void check_choice(Report& report) {
  const auto set = [](const char* name, bool here) { return InstructionSet{name, here, {}, {}, {}, {}}; };
  const std::vector<InstructionSet> wide = {set("plain", true), set("narrow", true), set("wide", true)};
  const std::vector<InstructionSet> lacking = {set("plain", true), set("narrow", true), set("wide", false)};
  const auto same = [&](const std::string& found, const std::string& expected) {
    report.expect(found == expected, "found '" + found + "', expected '" + expected + "'");
  };
  report.context = "without a wish";
  same(choice_of(wide, ""), "wide");
  same(choice_of(lacking, ""), "narrow");  // compiled, and not here: the next best
  report.context = "a set that is here";
  for (const char* name : {"plain", "narrow", "wide"}) same(choice_of(wide, name), name);
  report.context = "a set that the processor lacks";
  same(choice_of(lacking, "wide"),
       "LINPROBE_INSTRUCTION_SET is 'wide', which this processor lacks; it has: plain, narrow. Name one of these, or unset the "
       "variable to take the best");
  report.context = "a set that was not compiled";
  same(choice_of(lacking, "wider"),
       "LINPROBE_INSTRUCTION_SET is 'wider'; this build of linprobe has: plain, narrow, wide. Name one of these, or unset the "
       "variable to take the best");
  report.context = "a set that is not here has no kernels to call";
  for (const auto& real : linprobe::instruction_sets()) report.expect(real.here == (real.kernels.pass != nullptr), real.name);
}

}  // namespace checks
